#!/usr/bin/env bash
# What: `not order.getStatus() in ["cancel"]` is false for every order, whatever its status, in
#       RetailCRM's trigger conditions (Symfony's ExpressionLanguage) and in Twig alike.
# Versions: symfony/expression-language 6.4.50 and Twig 3.27.0 on PHP 8.4.27 (Debian 13);
#       expression-language 2.5.0 (npm).
# Guess before the run: it reads as in Python and SQL, `not (x in list)`.
# Seen: `not` binds tighter than `in` and `==`, so it is `(not x) in list`: a truth value is looked
#       for among texts. No error, no warning; the port to JavaScript does the same. `x not in list`
#       and the sign `!` with brackets are right.
# For whom: whoever writes «not one of these statuses» into a trigger: it never fires, and nothing
#       anywhere says so.
set -euo pipefail
source "$(dirname "$0")/debian.bash"
debian "$folder/php" trixie php8.4-cli=8.4.27-1~deb13u1 php-twig=3.27.0-0+deb13u1 \
    php-symfony-expression-language=6.4.50+dfsg-0+deb13u1
npm install --silent --no-audit --no-fund --prefix "$folder" expression-language@2.5.0
cat >"$folder/php/tmp/run.php" <<'PHP'
<?php
error_reporting(E_ALL & ~E_USER_DEPRECATED);
require '/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php';
require '/usr/share/php/Twig/autoload.php';
[, $condition, $status] = $argv;
$symfony = new Symfony\Component\ExpressionLanguage\ExpressionLanguage();
echo 'Symfony ', $symfony->evaluate($condition, ['status' => $status]) ? 'yes' : 'no';
// Twig has no such sign.
if (!str_starts_with($condition, '!')) {
    $twig = new Twig\Environment(new Twig\Loader\ArrayLoader());
    $template = $twig->createTemplate("{{ ($condition) ? 'yes' : 'no' }}");
    echo ', Twig ', $template->render(['status' => $status]);
}
PHP
cat >"$folder/run.js" <<'JS'
const { default: Language } = require(__dirname + "/node_modules/expression-language");
const [condition, status] = process.argv.slice(2);
console.log(new Language().evaluate(condition, { status }) ? "yes" : "no");
JS
for condition in 'not status in ["cancel"]' 'not status == "cancel"' 'status not in ["cancel"]' \
    '!(status in ["cancel"])'; do
    for status in new cancel; do
        php=$(chroot "$folder/php" php8.4 -d extension=ctype -d extension=mbstring \
            /tmp/run.php "$condition" "$status")
        javascript=$(node "$folder/run.js" "$condition" "$status")
        echo "$condition | $status | $php, JavaScript $javascript"
    done
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
not status in ["cancel"] | new | Symfony no, Twig no, JavaScript no
not status in ["cancel"] | cancel | Symfony no, Twig no, JavaScript no
not status == "cancel" | new | Symfony no, Twig no, JavaScript no
not status == "cancel" | cancel | Symfony no, Twig no, JavaScript no
status not in ["cancel"] | new | Symfony yes, Twig yes, JavaScript yes
status not in ["cancel"] | cancel | Symfony no, Twig no, JavaScript no
!(status in ["cancel"]) | new | Symfony yes, JavaScript yes
!(status in ["cancel"]) | cancel | Symfony no, JavaScript no
SEEN
echo "as described"
