use super::*;

const LIMIT: usize = 1 << 20;

fn sample() -> Vec<u8> {
    b"a line that is said again and again\n".repeat(1000)
}

#[test]
fn what_was_compressed_comes_back() {
    for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
        for body in [Vec::new(), b"x".to_vec(), sample()] {
            let compressed = compress(encoding, &body).expect("in memory");
            assert_eq!(decompress(encoding, &compressed, LIMIT).expect("whole"), body, "{encoding}");
        }
    }
}

#[test]
fn the_limit_is_exact() {
    let body = sample();
    for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
        let compressed = compress(encoding, &body).expect("in memory");
        assert!(decompress(encoding, &compressed, body.len()).is_ok(), "{encoding}");
        let error = decompress(encoding, &compressed, body.len() - 1).expect_err("one byte too many");
        assert!(matches!(error, DecompressError::TooLarge { limit } if limit == body.len() - 1));
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = vec![0; 64 << 20];
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let compressed = compress(encoding, &bomb).expect("in memory");
        assert!(compressed.len() < 1 << 20);
        let error = decompress(encoding, &compressed, LIMIT).expect_err("a bomb");
        assert!(matches!(error, DecompressError::TooLarge { limit: LIMIT }), "{error:?}");
    }
}

#[test]
fn members_that_follow_one_another_are_one_body() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let mut body = compress(encoding, b"one, ").expect("in memory");
        body.extend(compress(encoding, b"two").expect("in memory"));
        assert_eq!(decompress(encoding, &body, LIMIT).expect("whole"), b"one, two");
    }
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let compressed = compress(encoding, &sample()).expect("in memory");
        for length in 0..compressed.len() {
            let error = decompress(encoding, &compressed[..length], LIMIT).expect_err("cut off");
            assert!(matches!(error, DecompressError::Truncated { .. }), "{encoding} at {length}: {error:?}");
        }
    }
}

#[test]
fn corrupt_bodies_are_refused() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        assert!(decompress(encoding, b"plain text, not compressed", LIMIT).is_err(), "{encoding}");
        let mut compressed = compress(encoding, &sample()).expect("in memory");
        compressed.extend_from_slice(b"and more");
        assert!(decompress(encoding, &compressed, LIMIT).is_err(), "{encoding}");
    }
    let mut gzip = compress(Encoding::Gzip, &sample()).expect("in memory");
    let checksum = gzip.len() - 6;
    gzip[checksum] ^= 1;
    let error = decompress(Encoding::Gzip, &gzip, LIMIT).expect_err("the checksum is wrong");
    assert!(matches!(error, DecompressError::Corrupt { encoding: Encoding::Gzip, .. }), "{error:?}");
}

#[test]
fn a_frame_that_claims_a_huge_window_is_refused() {
    // Magic number, no content size, a window of 2^27 bytes, an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x01, 0x00, 0x00];
    let error = decompress(Encoding::Zstd, &frame, LIMIT).expect_err("too much memory");
    assert!(matches!(error, DecompressError::Corrupt { encoding: Encoding::Zstd, .. }), "{error:?}");
}

#[test]
fn encodings_are_named_as_in_http() {
    let check = |text: &str, expected: Option<Encoding>| assert_eq!(text.parse().ok(), expected, "{text}");
    check("gzip", Some(Encoding::Gzip));
    check("X-GZip", Some(Encoding::Gzip));
    check(" zstd ", Some(Encoding::Zstd));
    check("identity", Some(Encoding::Identity));
    check("", Some(Encoding::Identity));
    check("br", None);
    check("gzip, zstd", None);
}

#[test]
fn there_is_never_room_for_much_more_than_the_limit() {
    let body = sample();
    let compressed = compress(Encoding::Gzip, &body).expect("in memory");
    for limit in [body.len(), body.len() + 1, 2 * body.len()] {
        let bytes = decompress(Encoding::Gzip, &compressed, limit).expect("whole");
        assert!(bytes.capacity() <= limit + 1, "{} for {limit}", bytes.capacity());
        assert_eq!(bytes, body);
    }
}
