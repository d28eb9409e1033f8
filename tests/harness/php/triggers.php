<?php
/*
 * RetailCRM's side of a trigger: evaluates a form's condition with Symfony's ExpressionLanguage,
 * renders its parameters with Twig as RetailCRM does (strings, so HTML is escaped), and builds the
 * body it would post. What an order and a change set look like is taken from the vendor's guide:
 * objects whose methods may answer null.
 *
 * Reads {"cases": [{condition, parameters: [[name, template]], strict, order, changes}]} and writes
 * {"results": [{fires, why, values, body}]}: `fires` is null and `why` says so when the condition
 * ends with an error, `body` is null when a template does.
 */

declare(strict_types=1);

error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
ini_set('display_errors', 'stderr');

const LIBRARIES = [
    'Symfony\Component\ExpressionLanguage\ExpressionLanguage' => [
        'php-symfony-expression-language', '/usr/share/php/Symfony/Component/ExpressionLanguage/autoload.php',
    ],
    'Twig\Environment' => ['php-twig', '/usr/share/php/Twig/autoload.php'],
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

function fire(array $case): array
{
    $given = ['order' => new Order($case['order']), 'changeSet' => new ChangeSet($case['changes'])];
    $result = ['fires' => null, 'why' => null, 'values' => null, 'body' => null];
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
    }
    return $result;
}

$asked = json_decode(stream_get_contents(STDIN), true, 64, JSON_THROW_ON_ERROR);
$results = array_map('fire', $asked['cases']);
echo json_encode(['results' => $results], JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
