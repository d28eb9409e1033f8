"""Says what is wrong with a CycloneDX 1.5 document: validate.py FILE."""

import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = pathlib.Path(sys.argv[1]).read_text()
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if wrong:
    sys.exit(f"{sys.argv[1]}: {wrong}")
bill = json.loads(text)
references = [component["bom-ref"] for component in bill["components"]] + [bill["metadata"]["component"]["bom-ref"]]
assert len(references) == len(set(references)), "a component stands there twice"
told = {name for edge in bill["dependencies"] for name in [edge["ref"], *edge["dependsOn"]]}
assert told <= set(references), f"not among the components: {told - set(references)}"
names = {component["name"] for component in bill["components"]}
# In the binaries, in the button; of tests; of builds.
assert {"bridge-worker", "sqlx-postgres", "lapin", "ring", "vue"} <= names, "something is missing"
assert not {"proptest", "suites", "harness", "cc", "vite"} & names, "something is in it that is not shipped"
bare = [component["name"] for component in bill["components"] if not component["licenses"] and component["purl"].startswith("pkg:cargo/")]
assert not bare, f"without a licence: {bare}"
