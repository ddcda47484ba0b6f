//! Kept replies of Modbus TCP and damaged ones: exactly what was asked for, or a fault.

use forebay_fuzz::{corpus, fuzz};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    join,
    runtime::Builder,
};

use super::{dial::mbap, *};
use crate::plan::Point;

const LIMIT: Duration = Duration::from_millis(500);
/// More than any input.
const BUFFER_BYTES: usize = 64 * 1024;

fn read(register: Register, count: u16) -> Read {
    let point = Point {
        tag: 0,
        first: 0,
        count,
        each: 1,
    };
    Read::of(register, vec![point])
}

/// What a server that sends these bytes behind the number of the request is taken to say.
async fn answered(read: &Read, bytes: &[u8]) -> Result<Data, Fault> {
    let (near, mut far) = duplex(BUFFER_BYTES);
    let mut client = mbap(Box::new(near));
    let serve = async {
        let mut request = [0; 12];
        far.read_exact(&mut request).await.unwrap();
        far.write_all(&request[..2]).await.unwrap();
        far.write_all(bytes).await.unwrap();
    };
    let stop = CancellationToken::new();
    join!(client.read(UnitId(1), read, LIMIT, &stop), serve).0
}

#[test]
fn fuzz_tcp() {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let reads = [read(Register::Holding, 4), read(Register::Coil, 8)];
    fuzz(corpus!("tcp"), move |bytes| {
        reads.each_ref().map(|read| {
            let answer = runtime.block_on(answered(read, bytes));
            match &answer {
                Ok(Data::Words(words)) => assert_eq!(words.len(), 4),
                Ok(Data::Bits(bits)) => assert_eq!(bits.len(), 8),
                Err(fault) => assert!(!fault.to_string().is_empty()),
            }
            answer.map(drop).map_err(|fault| match fault {
                Fault::Garbled(why) => why.chars().filter(|c| c.is_alphabetic()).collect(),
                other => format!("{other:?}"),
            })
        })
    });
}
