#!/usr/bin/env bash
# What: a number of seven digits drawn as «Interleaved 2 of 5» is read back by a scanner as eight: a
#       zero has been put before it, by each of two libraries that draw it, without a word.
# Versions: bwip-js 4.11.4 (npm), python-barcode 0.16.1, zxing-cpp 3.1.1, Pillow 13.0.0 (PyPI).
# Guess before the run: the symbology has pairs of digits only, so an odd number is refused.
# Seen: «1000000» is drawn and read as «01000000»; with an even number of digits nothing is added.
# For whom: whoever prints labels of their own for couriers: order 999999 is scanned as itself, from
#       order 1000000 on each is another number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zxing-cpp==3.1.1 pillow==13.0.0 \
    python-barcode==0.16.1
npm install --silent --no-audit --no-fund --prefix "$folder" bwip-js@4.11.4
cat >"$folder/draw.js" <<'JS'
const { writeFileSync } = require("fs");
const { toBuffer } = require(__dirname + "/node_modules/bwip-js");
(async () => {
    for (const text of ["999999", "1000000"]) {
        const symbol = { bcid: "interleaved2of5", text, scale: 3, padding: 10 };
        const png = await toBuffer({ ...symbol, backgroundcolor: "FFFFFF" });
        writeFileSync(`${__dirname}/bwip-js-${text}.png`, png);
    }
})();
JS
node "$folder/draw.js"
cat >"$folder/run.py" <<'PYTHON'
import sys
import barcode, zxingcpp
from barcode.writer import ImageWriter
from PIL import Image

folder = sys.argv[1]
for text in ("999999", "1000000"):
    barcode.get("itf", text, writer=ImageWriter()).save(f"{folder}/python-barcode-{text}")
for library in ("bwip-js", "python-barcode"):
    for text in ("999999", "1000000"):
        read = zxingcpp.read_barcode(Image.open(f"{folder}/{library}-{text}.png"))
        print(f"{library}: {text} is read as {read.text}")
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
bwip-js: 999999 is read as 999999
bwip-js: 1000000 is read as 01000000
python-barcode: 999999 is read as 999999
python-barcode: 1000000 is read as 01000000
SEEN
echo "as described"
