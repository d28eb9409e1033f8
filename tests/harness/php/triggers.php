<?php
/*
 * RetailCRM's side of a trigger: evaluates a form's condition with Symfony's ExpressionLanguage,
 * renders its parameters with Twig as RetailCRM does (strings, so HTML is escaped), and builds the
 * body it would post. What an order and a change set look like is taken from the vendor's guide:
 * objects whose methods may answer null.
 *
 * Reads {"cases": [{condition, parameters: [[name, template]], strict, order, changes, to}]} and writes
 * {"results": [{fires, why, values, body, answer}]}: `fires` is null and `why` says so when the condition
 * ends with an error, `body` is null when a template does. With `to` ({url, client, pass}) what fires
 * is sent: by Guzzle or by Symfony's client, as a form, in the query or as JSON, which are
 * RetailCRM's ways to pass parameters; `answer` is then {status, body}.
 */

declare(strict_types=1);

error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
ini_set('display_errors', 'stderr');

const LIBRARIES = [
    'Symfony\Component\ExpressionLanguage\ExpressionLanguage' => [
        'php-symfony-expression-language', '/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php',
    ],
    'Twig\Environment' => ['php-twig', '/usr/share/php/Twig/autoload.php'],
    'GuzzleHttp\Client' => ['php-guzzlehttp-guzzle', '/usr/share/php/GuzzleHttp/autoload.php'],
    'Symfony\Component\HttpClient\CurlHttpClient' => [
        'php-symfony-http-client', '/usr/share/php/Symfony/Component/HttpClient/autoload.php',
    ],
];

foreach (LIBRARIES as $class => [$package, $autoload]) {
    if (is_file($autoload)) {
        require_once $autoload;
    }
    if (!class_exists($class)) {
        fwrite(STDERR, "$class is missing: install the Debian package $package (tests/run does)\n");
        exit(3);
    }
}

final class Coded
{
    private string $code;

    public function __construct(string $code)
    {
        $this->code = $code;
    }

    public function getCode(): string
    {
        return $this->code;
    }
}

final class DeliveryData
{
    private array $data;

    public function __construct(array $data)
    {
        $this->data = $data;
    }

    public function getDeclaredSum()
    {
        return $this->data['declared'] ?? null;
    }

    public function getExtraData(): ?array
    {
        return $this->data['extra'] ?? null;
    }
}

final class Order
{
    private array $order;

    public function __construct(array $order)
    {
        $this->order = $order;
    }

    public function getNumber(): string
    {
        return $this->order['number'];
    }

    public function getStatus(): Coded
    {
        return new Coded($this->order['status']);
    }

    public function getDeliveryType(): ?Coded
    {
        return isset($this->order['type']) ? new Coded($this->order['type']) : null;
    }

    public function getIntegrationDeliveryData(): ?DeliveryData
    {
        return isset($this->order['data']) ? new DeliveryData($this->order['data']) : null;
    }
}

final class ChangeSet
{
    private string $kind;
    private array $fields;

    public function __construct(array $changes)
    {
        $this->kind = $changes['kind'];
        $this->fields = $changes['fields'];
    }

    public function isUpdate(): bool
    {
        return $this->kind === 'update';
    }

    public function isCreate(): bool
    {
        return $this->kind === 'create';
    }

    public function hasChangedField(string $name): bool
    {
        return array_key_exists($name, $this->fields);
    }

    public function getOldValue(string $name)
    {
        return self::value($this->fields[$name]['old'] ?? null);
    }

    public function getNewValue(string $name)
    {
        return self::value($this->fields[$name]['new'] ?? null);
    }

    private static function value($value)
    {
        return is_array($value) ? new Coded($value['code']) : $value;
    }
}

function words(Throwable $error): string
{
    return get_class($error) . ': ' . $error->getMessage();
}

const PASSED = [
    'guzzle' => ['form' => 'form_params', 'query' => 'query', 'json' => 'json'],
    'symfony' => ['form' => 'body', 'query' => 'query', 'json' => 'json'],
];

function send(array $to, array $values): array
{
    $how = [PASSED[$to['client']][$to['pass']] => $values, 'timeout' => 30];
    if ($to['client'] === 'guzzle') {
        $answer = (new GuzzleHttp\Client())->request('POST', $to['url'], $how + ['http_errors' => false]);
        return ['status' => $answer->getStatusCode(), 'body' => (string) $answer->getBody()];
    }
    $answer = (new Symfony\Component\HttpClient\CurlHttpClient())->request('POST', $to['url'], $how);
    return ['status' => $answer->getStatusCode(), 'body' => $answer->getContent(false)];
}

function fire(array $case): array
{
    $given = ['order' => new Order($case['order']), 'changeSet' => new ChangeSet($case['changes'])];
    $result = ['fires' => null, 'why' => null, 'values' => null, 'body' => null, 'answer' => null];
    try {
        $language = new Symfony\Component\ExpressionLanguage\ExpressionLanguage();
        $result['fires'] = (bool) $language->evaluate($case['condition'], $given);
    } catch (Throwable $error) {
        $result['why'] = words($error);
    }
    try {
        $options = ['strict_variables' => $case['strict']];
        $twig = new Twig\Environment(new Twig\Loader\ArrayLoader(), $options);
        $values = [];
        foreach ($case['parameters'] as [$name, $template]) {
            $values[$name] = $twig->createTemplate($template)->render($given);
        }
        $result['values'] = $values;
        $result['body'] = http_build_query($values);
    } catch (Throwable $error) {
        $result['why'] = $result['why'] ?? words($error);
        return $result;
    }
    if (isset($case['to']) && $result['fires']) {
        $result['answer'] = send($case['to'], $values);
    }
    return $result;
}

$asked = json_decode(stream_get_contents(STDIN), true, 64, JSON_THROW_ON_ERROR);
$results = array_map('fire', $asked['cases']);
echo json_encode(['results' => $results], JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
