#!/usr/bin/env bash
# What: in a trigger condition of RetailCRM (Symfony's ExpressionLanguage) and in Twig the regular
#       expression "/^\d+A$/" does not match the order 1234A but the order «dddA»: texts lose their
#       backslashes before they become a pattern. The port to JavaScript keeps them.
# Versions: symfony/expression-language 6.4.50 and Twig 3.27.0 (Debian 13) on PHP 8.2;
#       expression-language 2.5.0 (npm).
# Guess before the run: as in PHP itself, where "\d" stays "\d"; it is no known escape.
# Seen: single quotes are no cure, `\\d` or `[0-9]` is. Neither an error nor a warning.
# For whom: whoever tells orders by their number («only splits», «only of this shop») in a condition
#       tried out in JavaScript or in an editor for patterns: it never fires.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$')
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/npm"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
    >"$folder/sources.list"
touch "$folder/status"
apt=(-qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::State::status=$folder/status"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
(cd "$folder" && apt-get "${apt[@]}" download php-symfony-expression-language=6.4.50+dfsg-0+deb13u1 \
    php-twig=3.27.0-0+deb13u1 php-symfony-cache php-symfony-cache-contracts php-psr-log \
    php-symfony-deprecation-contracts php-symfony-service-contracts php-symfony-var-exporter \
    php-psr-cache php-psr-container)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder"; done
npm install --silent --no-audit --no-fund --prefix "$folder/npm" expression-language@2.5.0
cat >"$folder/conditions" <<'CONDITIONS'
number matches "/^\d+A$/"
number matches '/^\d+A$/'
number matches "/^\\d+A$/"
number matches "/^[0-9]+A$/"
CONDITIONS
cat >"$folder/run.php" <<'PHP'
<?php
error_reporting(E_ALL & ~E_USER_DEPRECATED);
[, $folder, $number] = $argv;
require "$folder/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php";
require "$folder/usr/share/php/Twig/autoload.php";
$language = new Symfony\Component\ExpressionLanguage\ExpressionLanguage();
$twig = new Twig\Environment(new Twig\Loader\ArrayLoader());
foreach (file("$folder/conditions", FILE_IGNORE_NEW_LINES) as $condition) {
    $symfony = $language->evaluate($condition, ['number' => $number]) ? 'yes' : 'no';
    $text = $twig->createTemplate("{{ ($condition) ? 'yes' : 'no' }}")->render(['number' => $number]);
    echo "$condition | $number | Symfony $symfony, Twig $text\n";
}
PHP
cat >"$folder/run.js" <<'JS'
const { readFileSync } = require("fs");
const { default: Language } = require(__dirname + "/npm/node_modules/expression-language");
for (const condition of readFileSync(__dirname + "/conditions", "utf8").trimEnd().split("\n")) {
    const matches = new Language().evaluate(condition, { number: "1234A" });
    console.log(`${condition} | 1234A | JavaScript ${matches ? "yes" : "no"}`);
}
JS
{
    php "$folder/run.php" "$folder" 1234A
    php "$folder/run.php" "$folder" dddA
    node "$folder/run.js"
} | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
number matches "/^\d+A$/" | 1234A | Symfony no, Twig no
number matches '/^\d+A$/' | 1234A | Symfony no, Twig no
number matches "/^\\d+A$/" | 1234A | Symfony yes, Twig yes
number matches "/^[0-9]+A$/" | 1234A | Symfony yes, Twig yes
number matches "/^\d+A$/" | dddA | Symfony yes, Twig yes
number matches '/^\d+A$/' | dddA | Symfony yes, Twig yes
number matches "/^\\d+A$/" | dddA | Symfony no, Twig no
number matches "/^[0-9]+A$/" | dddA | Symfony no, Twig no
number matches "/^\d+A$/" | 1234A | JavaScript yes
number matches '/^\d+A$/' | 1234A | JavaScript yes
number matches "/^\\d+A$/" | 1234A | JavaScript yes
number matches "/^[0-9]+A$/" | 1234A | JavaScript yes
SEEN
echo "as described"
