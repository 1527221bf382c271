;; The smallest function: replies 200 with "hello". Used where a Rust guest's own work would blur a measurement.
(module
  (@custom "faas.manifest" "{\"abi\":1,\"name\":\"hello\",\"handler\":\"hello\",\"kind\":\"http\"}\n")
  (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
  (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; status 200, no fault, no headers
  (data (i32.const 0) "\c8\00\00\00\00\00\00")
  (data (i32.const 16) "hello")
  (func (export "faas_v1_init") (result i32) (i32.const 0))
  (func (export "faas_v1_poll") (param $call i32) (result i32)
    (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
    (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
    (i32.const 1))
  (func (export "faas_v1_cancel") (param i32)))
