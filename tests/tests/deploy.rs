#[test]
fn yaml() {
    let text = "x: &a\n  k: 1\n  f: 1.5\ny:\n  <<: *a\n  z: [a, {b: 08, t: yes}]\nw: \"08\"\nv: |\n  one\n  two\n";
    let v: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    println!("{v}");
    let m: Vec<serde_json::Value> =
        serde_saphyr::from_multiple("a: 1\n---\nb: !reset null\nc: !override [x]\n").unwrap();
    println!("{m:?}");
    println!("{:?}", serde_saphyr::from_str::<serde_json::Value>("a: 1\na: 2\n").map_err(|e| e.to_string()));
}
