#!/usr/bin/env bash
# What: «8 916 123-45-67 Oleg» parses without an error as a number of fifteen digits: a remark of
#       three Latin letters or more is dialled, one of two is cut off, one in Cyrillic is an error.
# Versions: phonenumbers 9.0.43 (PyPI), libphonenumber-js 1.13.16 with full metadata (npm).
# Guess before the run: what stands behind the number is cut off, as it is with «wa» for WhatsApp.
# Seen: three Latin letters make a text a «vanity number» as in 1-800-FLOWERS, and letters become
#       digits of the keypad. `parse` succeeds, and its result is wrong; only `is_valid_number`
#       tells. The JavaScript port cuts «Oleg» off. The library's search in free text finds the
#       right number.
# For whom: whoever normalises the phones of RetailCRM's orders with `parse` and takes «no error»
#       for «a number»: managers write names, «tel» and «kv 5» beside phones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check phonenumbers==9.0.43
npm install --silent --no-audit --no-fund --prefix "$folder" libphonenumber-js@1.13.16
cat >"$folder/written" <<'WRITTEN'
8 916 123-45-67 wa
8 916 123-45-67 Oleg
8 916 123-45-67 tel
8 916 123-45-67 Яна
8 495 123-45-67 kv 5
WRITTEN
cat >"$folder/run.py" <<'PYTHON'
import sys
import phonenumbers as phones

def digits(number):
    return phones.format_number(number, phones.PhoneNumberFormat.E164)

for text in open(f"{sys.argv[1]}/written", encoding="utf-8").read().splitlines():
    try:
        number = phones.parse(text, "RU")
        parsed = f"{digits(number)} valid={phones.is_valid_number(number)}"
    except phones.NumberParseException as error:
        parsed = f"error {error.error_type}"
    found = [digits(match.number) for match in phones.PhoneNumberMatcher(text, "RU")]
    print(f"Python | {text} | {parsed} | search {', '.join(found)}")
PYTHON
cat >"$folder/run.js" <<'JS'
const { readFileSync } = require("fs");
const { parsePhoneNumberFromString } = require(__dirname + "/node_modules/libphonenumber-js/max");
for (const text of readFileSync(__dirname + "/written", "utf8").trimEnd().split("\n")) {
    const number = parsePhoneNumberFromString(text, "RU");
    const parsed = number ? `${number.number} valid=${number.isValid()}` : "-";
    console.log(`JavaScript | ${text} | ${parsed}`);
}
JS
{
    "$folder/venv/bin/python" "$folder/run.py" "$folder"
    node "$folder/run.js"
} | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
Python | 8 916 123-45-67 wa | +79161234567 valid=True | search +79161234567
Python | 8 916 123-45-67 Oleg | +791612345676534 valid=False | search +79161234567
Python | 8 916 123-45-67 tel | +789161234567835 valid=False | search +79161234567
Python | 8 916 123-45-67 Яна | error 1 | search +79161234567
Python | 8 495 123-45-67 kv 5 | +7849512345675 valid=False | search +74951234567
JavaScript | 8 916 123-45-67 wa | +79161234567 valid=true
JavaScript | 8 916 123-45-67 Oleg | +79161234567 valid=true
JavaScript | 8 916 123-45-67 tel | +79161234567 valid=true
JavaScript | 8 916 123-45-67 Яна | +79161234567 valid=true
JavaScript | 8 495 123-45-67 kv 5 | -
SEEN
echo "as described"
