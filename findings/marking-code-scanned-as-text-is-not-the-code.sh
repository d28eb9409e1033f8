#!/usr/bin/env bash
# What: a «Честный ЗНАК» marking code read from its DataMatrix with ZXing is never the code when
#       taken as text: a proper GS1 symbol gives brackets around its prefixes, one whose separators
#       are plain characters gives the four letters «<GS>».
# Versions: zxing-cpp 3.1.1 and Pillow 13.0.0 (PyPI); symbols drawn by bwip-js 4.11.4 (npm).
# Guess before the run: text is the scanned characters, with the separator GS (0x1d) between fields.
# Seen: `.text` has 55 characters in both cases where the code has 49; `.bytes` of both are the code
#       itself, without the FNC1 in front that makes the symbol a GS1 one.
# For whom: whoever fills RetailCRM's marking codes with a scanner of their own: what looks like the
#       code on the screen is another text.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zxing-cpp==3.1.1 pillow==13.0.0
npm install --silent --no-audit --no-fund --prefix "$folder" bwip-js@4.11.4
cat >"$folder/draw.js" <<'JS'
const { writeFileSync } = require("fs");
const { toBuffer } = require(__dirname + "/node_modules/bwip-js");
const symbols = {
    gs1: { bcid: "gs1datamatrix", text: "(01)04600000000008(21)Ab12Cd34Ef567(91)EE06(92)dGVzdA==" },
    plain: {
        bcid: "datamatrix",
        text: "010460000000000821Ab12Cd34Ef567\x1d91EE06\x1d92dGVzdA==",
    },
};
(async () => {
    for (const [name, symbol] of Object.entries(symbols)) {
        const drawn = { scale: 4, padding: 10, backgroundcolor: "FFFFFF", ...symbol };
        writeFileSync(`${__dirname}/${name}.png`, await toBuffer(drawn));
    }
})();
JS
node "$folder/draw.js"
cat >"$folder/run.py" <<'PYTHON'
import sys
import zxingcpp
from PIL import Image

for name in ("gs1", "plain"):
    read = zxingcpp.read_barcode(Image.open(f"{sys.argv[1]}/{name}.png"))
    print(name, "text", len(read.text), repr(read.text))
    print(name, "bytes", len(read.bytes), read.bytes)
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
gs1 text 55 '(01)04600000000008(21)Ab12Cd34Ef567(91)EE06(92)dGVzdA=='
gs1 bytes 49 b'010460000000000821Ab12Cd34Ef567\x1d91EE06\x1d92dGVzdA=='
plain text 55 '010460000000000821Ab12Cd34Ef567<GS>91EE06<GS>92dGVzdA=='
plain bytes 49 b'010460000000000821Ab12Cd34Ef567\x1d91EE06\x1d92dGVzdA=='
SEEN
echo "as described"
