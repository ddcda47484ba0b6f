use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::*;
use crate::{
    endpoint::{Endpoint, Server},
    plan::Point,
};

const LIMIT: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_secs(3600);

fn read(register: Register, first: u16, count: u16) -> Read {
    Read::of(
        register,
        vec![Point {
            tag: 0,
            first,
            count,
            each: 1,
        }],
    )
}

/// Numbers from a fixed start (Marsaglia's xorshift).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// The body of a reply: each function code in turn, some with a byte count that fits, with lengths up to the longest.
fn body(number: usize, numbers: &mut Numbers) -> Vec<u8> {
    let len = [0, 1, 2, 3, 5, 9, 30, 252][number / 256 % 8];
    let mut body = vec![u8::try_from(number % 256).unwrap()];
    body.extend((0..len).map(|_| numbers.next().to_be_bytes()[1]));
    if number.is_multiple_of(3) && body.len() > 1 {
        body[1] = u8::try_from(body.len() - 2).unwrap();
    }
    body
}

#[tokio::test]
async fn every_function_code_with_any_body_is_either_the_reply_or_a_fault() {
    const ROUNDS: usize = 8 * 256;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Endpoint::Tcp(Server {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut numbers = Numbers(0x2545_f491);
        for number in 0..ROUNDS {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut frame = [0; 12];
            stream.read_exact(&mut frame).await.unwrap();
            let body = body(number, &mut numbers);
            let mut reply = frame[..4].to_vec();
            reply.extend(u16::try_from(body.len() + 1).unwrap().to_be_bytes());
            reply.push(frame[6]);
            reply.extend(body);
            stream.write_all(&reply).await.unwrap();
            // Until the client has gone, so that no reply is cut short by a reset.
            let _gone = stream.read(&mut frame).await;
        }
    });
    let stop = CancellationToken::new();
    // By function code, modulo 4.
    let asked = [
        read(Register::Input, 65_530, 4),
        read(Register::Coil, 3, 8),
        read(Register::Discrete, 0, 2000),
        read(Register::Holding, 0, 1),
    ];
    let (mut replies, mut exceptions, mut garbled) = (0, 0, 0);
    for number in 0..ROUNDS {
        let mut client = Client::connect(&server, LIMIT, &stop).await.unwrap();
        let read = &asked[number % 128 % asked.len()];
        match client.read(UnitId(7), read, LIMIT, &stop).await {
            Ok(Data::Words(words)) => {
                assert!(!read.register.is_bits());
                assert_eq!(words.len(), usize::from(read.count));
                replies += 1;
            }
            Ok(Data::Bits(bits)) => {
                assert!(read.register.is_bits());
                assert_eq!(bits.len(), usize::from(read.count));
                replies += 1;
            }
            Err(Fault::Exception(_)) => exceptions += 1,
            Err(Fault::Garbled(_)) => garbled += 1,
            Err(other) => panic!("reply {number}: {other}"),
        }
    }
    assert_eq!(replies + exceptions + garbled, ROUNDS);
    assert!(
        garbled > ROUNDS / 2 && exceptions > 0 && replies > 0,
        "{replies} replies, {exceptions} exceptions, {garbled} garbled"
    );
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_reply() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Endpoint::Tcp(Server {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    });
    let stop = CancellationToken::new();
    let mut client = Client::connect(&server, HOUR, &stop).await.unwrap();
    let cancel = stop.clone();
    let coil = read(Register::Coil, 0, 1);
    let (told, _open) = tokio::join!(client.read(UnitId(1), &coil, HOUR, &stop), async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        cancel.cancel();
        stream
    });
    assert_eq!(told, Err(Fault::Stopped));
    assert_eq!(
        Client::connect(&server, LIMIT, &stop).await.err(),
        Some(Fault::Stopped)
    );
}
