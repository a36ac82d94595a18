/**
 * Which names are allowed: DNS labels and subdomains, label keys and values, ports, path segments. Each rule gives the list of what is wrong,
 * in the words of apimachinery's util/validation; an empty list means valid.
 */

/** `must be no more than N characters`. */
export function maxLengthError(length: number): string {
  return `must be no more than ${length} characters`;
}

/** `must be between A and B, inclusive`. */
export function inclusiveRangeError(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

/** `MSG (e.g. 'a',  or 'b', regex used for validation is 'RE')`, commas as upstream puts them. */
export function regexError(message: string, regex: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${regex}')`;
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${message} (e.g. ${shown}regex used for validation is '${regex}')`;
}

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE = `(${QUALIFIED})?`;
const C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*";
const PERCENT = "[0-9]+%";
const HTTP_HEADER = "[-A-Za-z0-9]+";
const ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*";
const CONFIG_KEY = "[-._a-zA-Z0-9]+";

const LABEL_RE = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN_RE = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_1035_RE = /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED_RE = /^(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const WILDCARD_RE = /^\*\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

const LABEL_MESSAGE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035_MESSAGE =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED_MESSAGE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MESSAGE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const WILDCARD_MESSAGE =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";

/** A DNS label: at most 63 of a-z, 0-9, '-'. */
export function isDns1123Label(value: string): readonly string[] {
  const errors = tooLong(value, 63);
  if (LABEL_RE.test(value)) return errors;
  if (SUBDOMAIN_RE.test(value)) return [...errors, "must not contain dots"];
  return [...errors, regexError(LABEL_MESSAGE, LABEL, "my-name", "123-abc")];
}

/** DNS labels joined by dots, at most 253 bytes. */
export function isDns1123Subdomain(value: string): readonly string[] {
  const errors = tooLong(value, 253);
  if (SUBDOMAIN_RE.test(value)) return errors;
  return [...errors, regexError(SUBDOMAIN_MESSAGE, SUBDOMAIN, "example.com")];
}

/** A DNS label that begins with a letter. */
export function isDns1035Label(value: string): readonly string[] {
  const errors = tooLong(value, 63);
  if (LABEL_1035_RE.test(value)) return errors;
  return [...errors, regexError(LABEL_1035_MESSAGE, LABEL_1035, "my-name", "abc-123")];
}

/** `*.` and a DNS subdomain. */
export function isWildcardDns1123Subdomain(value: string): readonly string[] {
  const errors = tooLong(value, 253);
  if (WILDCARD_RE.test(value)) return errors;
  return [...errors, regexError(WILDCARD_MESSAGE, `\\*\\.${SUBDOMAIN}`, "*.example.com")];
}

/** A label key: `[prefix/]name`. Also the rule for annotation keys (lower-cased first), finalizers, resources, taints. */
export function isQualifiedName(value: string): readonly string[] {
  if (value.length <= 63 && QUALIFIED_RE.test(value)) return [];
  const parts = value.split("/");
  const example = regexError(QUALIFIED_MESSAGE, QUALIFIED, "MyName", "my.name", "123-abc");
  if (parts.length > 2) {
    return [`a valid label key ${example} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const errors: string[] = [];
  const name = parts.at(-1) as string;
  if (parts.length === 2) errors.push(...prefixErrors(parts[0] as string));
  if (name === "") errors.push("name part must be non-empty");
  else if (byteLength(name) > 63) errors.push("name part must be no more than 63 bytes");
  if (!QUALIFIED_RE.test(name)) errors.push(`name part ${example}`);
  return errors;
}

/** A label's value: empty, or at most 63 letters, digits, '-', '_', '.'. */
export function isLabelValue(value: string): readonly string[] {
  const errors = byteLength(value) > 63 ? ["must be no more than 63 bytes"] : [];
  if (value === "" || QUALIFIED_RE.test(value)) return errors;
  return [...errors, regexError(LABEL_VALUE_MESSAGE, LABEL_VALUE, "MyValue", "my_value", "12345")];
}

/** What may stand in a URL's path as a name: not ".", "..", no "/", no "%". */
export function isPathSegmentName(value: string): readonly string[] {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  return ["/", "%"].filter((part) => value.includes(part)).map((part) => `may not contain '${part}'`);
}

/** A C identifier. */
export function isCIdentifier(value: string): readonly string[] {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) return [];
  const message =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
  return [regexError(message, C_IDENTIFIER, "my_name", "MY_NAME", "MyName")];
}

/** A port's number, 1 to 65535. */
export function isValidPortNumber(port: number): readonly string[] {
  return port >= 1 && port <= 65535 ? [] : [inclusiveRangeError(1, 65535)];
}

/** A port's IANA name: at most 15 of a-z, 0-9, '-', with a letter. */
export function isValidPortName(port: string): readonly string[] {
  const errors = [...tooLong(port, 15)];
  if (!/^[-a-z0-9]+$/.test(port)) errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(port)) errors.push("must contain at least one letter (a-z)");
  if (port.includes("--")) errors.push("must not contain consecutive hyphens");
  if (port.startsWith("-") || port.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

/** A user's or group's id: 0 to 2147483647. */
export function isValidUserId(id: number): readonly string[] {
  return id >= 0 && id <= 2147483647 ? [] : [inclusiveRangeError(0, 2147483647)];
}

/** A percentage: digits and '%'. */
export function isValidPercent(value: string): readonly string[] {
  if (/^[0-9]+%$/.test(value)) return [];
  return [
    regexError("a valid percent string must be a numeric string followed by an ending '%'", PERCENT, "1%", "93%"),
  ];
}

/** An HTTP header's name. */
export function isHttpHeaderName(value: string): readonly string[] {
  if (/^[-A-Za-z0-9]+$/.test(value)) return [];
  return [
    regexError("a valid HTTP header must consist of alphanumeric characters or '-'", HTTP_HEADER, "X-Header-Name"),
  ];
}

/** An environment variable's name as upstream allows it since v1.30: printable ASCII without "=". */
export function isRelaxedEnvVarName(value: string): readonly string[] {
  if (value === "") return ["environment variable name must be non-empty"];
  for (const char of value) {
    if (char === "=" || char < " " || char > "~") {
      return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
    }
  }
  return [];
}

/** An environment variable's name in the older, narrower form. */
export function isEnvVarName(value: string): readonly string[] {
  const errors = [...dotErrors(value)];
  if (/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(value)) return errors;
  const message =
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
  return [regexError(message, ENV_NAME, "my.env-name", "MY_ENV.NAME", "MyEnvName1"), ...errors];
}

/** A key of a ConfigMap or Secret. */
export function isConfigMapKey(value: string): readonly string[] {
  if (/^[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,252}$/.test(value)) return [];
  const errors = [...tooLong(value, 253)];
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    const message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    errors.push(regexError(message, CONFIG_KEY, "key.name", "KEY_NAME", "key-name"));
  }
  return [...errors, ...dotErrors(value)];
}

function dotErrors(value: string): readonly string[] {
  if (value === "." || value === "..") return [`must not be '${value}'`];
  return value.startsWith("..") ? ["must not start with '..'"] : [];
}

function prefixErrors(prefix: string): readonly string[] {
  if (prefix === "") return ["prefix part must be non-empty"];
  return isDns1123Subdomain(prefix).map((error) => `prefix part ${error.replace("253 characters", "253 bytes")}`);
}

function tooLong(value: string, maxBytes: number): readonly string[] {
  if (value.length * 3 <= maxBytes || byteLength(value) <= maxBytes) return [];
  return [maxLengthError(maxBytes)];
}

function byteLength(value: string): number {
  return Buffer.byteLength(value);
}
