//! The relay everybody writes first with tokio, as a peer to compare with.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::Endpoint;

async fn join(mut near: TcpStream, far: std::net::SocketAddr) -> std::io::Result<()> {
    let mut far = TcpStream::connect(far).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

async fn accept(listener: TcpListener, far: std::net::SocketAddr) -> std::io::Result<()> {
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(join(near, far));
    }
}

/// Relays from `--listen` to `--to`, both TCP, for `--for` seconds, on one thread.
pub fn relay(arguments: &mut Arguments) -> Result<(), Failure> {
    let near: Endpoint = arguments.required("listen")?;
    let far: Endpoint = arguments.required("to")?;
    let limit: Duration = arguments.seconds("for", 900.0)?;
    arguments.finish()?;
    let Endpoint::Tcp(far) = far else {
        return Err("tokio-copy relays TCP".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (listener, _) = near.listen()?;
        let listener = TcpListener::from_std(listener.into())?;
        match tokio::time::timeout(limit, accept(listener, far)).await {
            Ok(result) => Ok(result?),
            Err(_) => Ok(()),
        }
    })
}
