//! Messages that another library has written: pysparkplug 0.6.1, whose encoding is generated from Eclipse Tahu's `.proto`.

use super::*;

/// A birth with a metric of every data type that it knows, `bdSeq` 3.
const NBIRTH: &str = "08e09bfbbfa23412120a026938100118e09bfbbfa234200150fb0112140a03693136100218e09bfbbfa234200250d4fd0312160a03693332100318e09bfbbfa23420035090ddfbff0f121b0a03693634100418e09bfbbfa2342004588080808080e0ffffff0112120a027538100518e09bfbbfa234200550fa0112140a03753136100618e09bfbbfa234200650e8fb0312160a03753332100718e09bfbbfa23420075080d0acf30e121b0a03753634100818e09bfbbfa2342008588080808080808080800112130a0166100918e09bfbbfa2342009650000c03f12170a0164100a18e09bfbbfa234200a699a9999999999b93f12100a0162100b18e09bfbbfa234200b700112120a0173100c18e09bfbbfa234200c7a02c3bc12150a0174100d18e09bfbbfa234200d58e09bfbbfa23412140a0474657874100e18e09bfbbfa234200e7a017812160a0475756964100f18e09bfbbfa234200f7a03612d6212150a03726177101018e09bfbbfa2342011820102000112150a03616938101118e09bfbbfa2342016820102ff0212160a0461693136101218e09bfbbfa2342017820102d4fe12180a0461693332101318e09bfbbfa234201882010490eefeff121c0a0461693634101418e09bfbbfa23420198201080000000000ffffff12140a03617538101518e09bfbbfa234201a820101fa12160a0461753136101618e09bfbbfa234201b820102e8fd12180a0461753332101718e09bfbbfa234201c82010400286bee121c0a0461753634101818e09bfbbfa234201d820108000000000000008012160a026166101918e09bfbbfa234201e8201040000c03f121a0a026164101a18e09bfbbfa234201f8201089a9999999999b93f12170a026162101b18e09bfbbfa234202082010503000000a012170a026173101c18e09bfbbfa23420218201056162006300121a0a026174101d18e09bfbbfa2342022820108e0cdfe27a201000012120a05626453657118e09bfbbfa234200458031800";
/// Alias 2 is -2.
const NDATA: &str = "08e09bfbbfa234120d100218e09bfbbfa23450feff031801";
/// Of session 3.
const NDEATH: &str = "08e09bfbbfa23412120a05626453657118e09bfbbfa23420045803";

const VALUES: [&str; 33] = [
    "i8=I64(-5)",
    "i16=I64(-300)",
    "i32=I64(-70000)",
    "i64=I64(-1099511627776)",
    "u8=I64(250)",
    "u16=I64(65000)",
    "u32=I64(4000000000)",
    "u64=U64(9223372036854775808)",
    "f=F64(1.5)",
    "d=F64(0.1)",
    "b=Bool(true)",
    "s=Text(\"ü\")",
    "t=I64(1795967340000)",
    "text=Text(\"x\")",
    "uuid=Text(\"a-b\")",
    "raw=bytes(2)",
    "ai8/0=I64(-1)",
    "ai8/1=I64(2)",
    "ai16/0=I64(-300)",
    "ai32/0=I64(-70000)",
    "ai64/0=I64(-1099511627776)",
    "au8/0=I64(250)",
    "au16/0=I64(65000)",
    "au32/0=I64(4000000000)",
    "au64/0=U64(9223372036854775808)",
    "af/0=F64(1.5)",
    "ad/0=F64(0.1)",
    "ab/0=Bool(true)",
    "ab/1=Bool(false)",
    "ab/2=Bool(true)",
    "as/0=Text(\"ab\")",
    "as/1=Text(\"c\")",
    "at/0=I64(1795967340000)",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn messages_of_another_library_are_read() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let born = plant.lines("g/NBIRTH/n", &bytes(NBIRTH));
    let expected = VALUES.map(|value| {
        let (tag, value) = value.split_once('=').unwrap();
        format!("g/n {tag}@1795967340000={value} now")
    });
    assert_eq!(born, expected);
    assert_eq!(
        plant.lines("g/NDATA/n", &bytes(NDATA)),
        ["g/n i16@1795967340000=I64(-2)"]
    );
    assert_eq!(
        plant.lines("g/NDEATH/n", &bytes(NDEATH)).len(),
        VALUES.len()
    );
}
