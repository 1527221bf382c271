use faas_core::function;

#[function(
    nme = "x",
    colour = "blue",
    name = "no name",
    route = "get users",
    memory = 0,
    timeout = "soon",
    concurrency = "many",
    schedule = "every monday",
    queue,
    queue = "orders",
)]
async fn all_wrong() {}

#[function(memory = "1 GB", timeout = "0s", concurrency = 1001, schedule = "60 * * * *", route = "/a/{b")]
async fn all_wrong_again() {}

#[function(route = "/a/{*rest}/b")]
async fn follows() {}

#[function(route = "/{id}/{id}")]
async fn twice() {}

#[function(name)]
async fn no_value() {}

#[function(isolation = "total", init = 3)]
async fn neither() {}

#[function(isolation = "request", concurrency = 4)]
async fn together() {}

fn main() {}
