//! Compiles the wire contract without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let sources = [
        "proto/forebay/v1/event.proto",
        "proto/forebay/v1/reading.proto",
    ];
    let files = protox::compile(sources, ["proto"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
