//! A serverless cloud on the laptop.
