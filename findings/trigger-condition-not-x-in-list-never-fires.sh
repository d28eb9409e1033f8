#!/usr/bin/env bash
# What: `not order.getStatus() in ["cancel"]` is false for every order, whatever its status, in
#       RetailCRM's trigger conditions (Symfony's ExpressionLanguage) and in Twig alike.
# Versions: symfony/expression-language 6.4.50 and Twig 3.27.0 (Debian 13) on PHP 8.2;
#       expression-language 2.5.0 (npm).
# Guess before the run: it reads as in Python and SQL, `not (x in list)`.
# Seen: `not` binds tighter than `in` and `==`, so it is `(not x) in list`: a truth value is looked
#       for among texts. No error, no warning; the port to JavaScript does the same. `x not in list`
#       and the sign `!` with brackets are right.
# For whom: whoever writes «not one of these statuses» into a trigger: it never fires, and nothing
#       anywhere says so.
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
cat >"$folder/run.php" <<'PHP'
<?php
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
[, $folder, $condition] = $argv;
require "$folder/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php";
require "$folder/usr/share/php/Twig/autoload.php";
$language = new Symfony\Component\ExpressionLanguage\ExpressionLanguage();
$twig = new Twig\Environment(new Twig\Loader\ArrayLoader());
foreach (['new', 'cancel'] as $status) {
    $given = ['status' => $status];
    $symfony = $language->evaluate($condition, $given) ? 'yes' : 'no';
    $text = str_starts_with($condition, '!')
        ? '-' : $twig->createTemplate("{{ ($condition) ? 'yes' : 'no' }}")->render($given);
    echo "$condition | $status | Symfony $symfony, Twig $text";
    echo ', JavaScript ', exec('node ' . escapeshellarg("$folder/run.js") . ' '
        . escapeshellarg($condition) . " $status"), "\n";
}
PHP
cat >"$folder/run.js" <<'JS'
const { default: Language } = require(__dirname + "/npm/node_modules/expression-language");
const [condition, status] = process.argv.slice(2);
console.log(new Language().evaluate(condition, { status }) ? "yes" : "no");
JS
for condition in 'not status in ["cancel"]' 'not status == "cancel"' 'status not in ["cancel"]' \
    '!(status in ["cancel"])'; do
    php "$folder/run.php" "$folder" "$condition"
done | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
not status in ["cancel"] | new | Symfony no, Twig no, JavaScript no
not status in ["cancel"] | cancel | Symfony no, Twig no, JavaScript no
not status == "cancel" | new | Symfony no, Twig no, JavaScript no
not status == "cancel" | cancel | Symfony no, Twig no, JavaScript no
status not in ["cancel"] | new | Symfony yes, Twig yes, JavaScript yes
status not in ["cancel"] | cancel | Symfony no, Twig no, JavaScript no
!(status in ["cancel"]) | new | Symfony yes, Twig -, JavaScript yes
!(status in ["cancel"]) | cancel | Symfony no, Twig -, JavaScript no
SEEN
echo "as described"
