#!/usr/bin/env bash
# What: in a trigger condition of RetailCRM (Symfony's ExpressionLanguage) and in Twig the regular
#       expression "/^\d+A$/" does not match the order 1234A but the order «dddA»: texts lose their
#       backslashes before they become a pattern. The port to JavaScript keeps them.
# Versions: symfony/expression-language 6.4.50 and Twig 3.27.0 on PHP 8.4.27 (Debian 13);
#       expression-language 2.5.0 (npm).
# Guess before the run: as in PHP itself, where "\d" stays "\d"; it is no known escape.
# Seen: single quotes are no cure, `\\d` or `[0-9]` is. Neither an error nor a warning.
# For whom: whoever tells orders by their number («only splits», «only of this shop») in a condition
#       tried out in JavaScript or in an editor for patterns: it never fires.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
debian "$folder/php" trixie php8.4-cli=8.4.27-1~deb13u1 php-twig=3.27.0-0+deb13u1 \
    php-symfony-expression-language=6.4.50+dfsg-0+deb13u1
npm install --silent --no-audit --no-fund --prefix "$folder" expression-language@2.5.0
cat >"$folder/conditions" <<'CONDITIONS'
number matches "/^\d+A$/"
number matches '/^\d+A$/'
number matches "/^\\d+A$/"
number matches "/^[0-9]+A$/"
CONDITIONS
cp "$folder/conditions" "$folder/php/tmp"
cat >"$folder/php/tmp/run.php" <<'PHP'
<?php
error_reporting(E_ALL & ~E_USER_DEPRECATED);
require '/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php';
require '/usr/share/php/Twig/autoload.php';
[, $number] = $argv;
$language = new Symfony\Component\ExpressionLanguage\ExpressionLanguage();
$twig = new Twig\Environment(new Twig\Loader\ArrayLoader());
foreach (file('/tmp/conditions', FILE_IGNORE_NEW_LINES) as $condition) {
    $symfony = $language->evaluate($condition, ['number' => $number]) ? 'yes' : 'no';
    $template = $twig->createTemplate("{{ ($condition) ? 'yes' : 'no' }}");
    echo "$condition | $number | Symfony $symfony, ";
    echo "Twig {$template->render(['number' => $number])}\n";
}
PHP
cat >"$folder/run.js" <<'JS'
const { readFileSync } = require("fs");
const { default: Language } = require(__dirname + "/node_modules/expression-language");
for (const condition of readFileSync(__dirname + "/conditions", "utf8").trimEnd().split("\n")) {
    const matches = new Language().evaluate(condition, { number: "1234A" });
    console.log(`${condition} | 1234A | JavaScript ${matches ? "yes" : "no"}`);
}
JS
{
    chroot "$folder/php" php8.4 -d extension=ctype -d extension=mbstring /tmp/run.php 1234A
    chroot "$folder/php" php8.4 -d extension=ctype -d extension=mbstring /tmp/run.php dddA
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
