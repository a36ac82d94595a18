/**
 * Mutating and validating webhook configurations. As pkg/apis/admissionregistration/{v1/defaults.go,validation}.
 */
import type {
  MutatingWebhookConfiguration,
  RuleWithOperations,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from "#api/generated/types/admissionregistration-v1.ts";
import { itemsOf, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { messagesAt, validateSupported } from "#api/validation.ts";
import { duplicate, type FieldError, invalid, required } from "#apimachinery/field-error.ts";
import { validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";

type Configuration = { readonly webhooks?: readonly ValidatingWebhook[] };

/** Versions of AdmissionReview that this server speaks. */
const reviewVersions = ["v1", "v1beta1"];

const knownOperations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

export const validatingWebhookConfigurationStrategy: KindStrategy<ValidatingWebhookConfiguration> = {
  allowsUnconditionalUpdate: false,
  hasGeneration: true,
  applyDefaults: (draft) => itemsOf(draft["webhooks"]).forEach(applyWebhookDefaults),
  validate,
  validateUpdate: validate,
};

export const mutatingWebhookConfigurationStrategy: KindStrategy<MutatingWebhookConfiguration> = {
  allowsUnconditionalUpdate: false,
  hasGeneration: true,
  applyDefaults(draft) {
    for (const webhook of itemsOf(draft["webhooks"])) {
      applyWebhookDefaults(webhook);
      setDefault(webhook, "reinvocationPolicy", "Never");
    }
  },
  validate: (configuration) => [
    ...validate(configuration),
    ...(configuration.webhooks ?? []).flatMap(({ reinvocationPolicy }, index) =>
      validateSupported(`webhooks[${index}].reinvocationPolicy`, reinvocationPolicy, ["IfNeeded", "Never"]),
    ),
  ],
  validateUpdate: validate,
};

function applyWebhookDefaults(webhook: Draft): void {
  setDefault(webhook, "failurePolicy", "Fail");
  setDefault(webhook, "matchPolicy", "Equivalent");
  setDefault(webhook, "namespaceSelector", {});
  setDefault(webhook, "objectSelector", {});
  setDefault(webhook, "timeoutSeconds", 10);
  for (const rule of itemsOf(webhook["rules"])) setDefault(rule, "scope", "*");
  const service = webhook["clientConfig"]?.service as Draft | undefined;
  if (service) setDefault(service, "port", 443);
}

function validate({ webhooks }: Configuration): readonly FieldError[] {
  const names = new Set<string>();
  return (webhooks ?? []).flatMap((webhook, index) => {
    const field = `webhooks[${index}]`;
    const isRepeated = names.has(webhook.name);
    names.add(webhook.name);
    return [...(isRepeated ? [duplicate(`${field}.name`, webhook.name)] : []), ...validateWebhook(webhook, field)];
  });
}

function validateWebhook(webhook: ValidatingWebhook, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { name, failurePolicy, matchPolicy, sideEffects, timeoutSeconds, clientConfig } = webhook;
  errors.push(...validateQualifiedName(`${field}.name`, name));
  webhook.rules?.forEach((rule, index) => errors.push(...validateRule(rule, `${field}.rules[${index}]`)));
  errors.push(...validateSupported(`${field}.failurePolicy`, failurePolicy, ["Fail", "Ignore"]));
  errors.push(...validateSupported(`${field}.matchPolicy`, matchPolicy, ["Equivalent", "Exact"]));
  if (!sideEffects) errors.push(required(`${field}.sideEffects`, "must specify one of None, NoneOnDryRun"));
  else errors.push(...validateSupported(`${field}.sideEffects`, sideEffects, ["None", "NoneOnDryRun"]));
  if (timeoutSeconds !== undefined && (timeoutSeconds > 30 || timeoutSeconds < 1)) {
    errors.push(
      invalid(`${field}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"),
    );
  }
  errors.push(...validateLabelSelector(webhook.namespaceSelector, `${field}.namespaceSelector`));
  errors.push(...validateLabelSelector(webhook.objectSelector, `${field}.objectSelector`));
  if ((clientConfig?.url === undefined) === (clientConfig?.service === undefined)) {
    errors.push(required(`${field}.clientConfig`, "exactly one of url or service is required"));
  }
  if (clientConfig?.url !== undefined && !/^https:\/\/[^/]+/.test(clientConfig.url)) {
    errors.push(
      invalid(
        `${field}.clientConfig.url`,
        clientConfig.url,
        "'https' is the only allowed URL scheme; desired format: https://host[/path]",
      ),
    );
  }
  errors.push(...validateReviewVersions(webhook.admissionReviewVersions ?? [], `${field}.admissionReviewVersions`));
  return errors;
}

function validateRule(rule: RuleWithOperations, field: string): readonly FieldError[] {
  const { operations = [], apiGroups = [], apiVersions = [], scope } = rule;
  return [
    ...(operations.length === 0 ? [required(`${field}.operations`)] : []),
    ...validateAlone(`${field}.operations`, operations, "operations"),
    ...operations.flatMap((operation, at) =>
      validateSupported(`${field}.operations[${at}]`, operation, knownOperations),
    ),
    ...(apiGroups.length === 0 ? [required(`${field}.apiGroups`)] : []),
    ...validateAlone(`${field}.apiGroups`, apiGroups, "API groups"),
    ...(apiVersions.length === 0 ? [required(`${field}.apiVersions`)] : []),
    ...validateAlone(`${field}.apiVersions`, apiVersions, "API versions"),
    ...apiVersions.flatMap((version, at) => (version === "" ? [required(`${field}.apiVersions[${at}]`)] : [])),
    ...validateResources(`${field}.resources`, rule.resources ?? []),
    ...validateSupported(`${field}.scope`, scope, ["*", "Cluster", "Namespaced"]),
  ];
}

/** All is said with a star. */
function validateAlone(field: string, values: readonly string[], what: string): readonly FieldError[] {
  if (values.length < 2 || !values.includes("*")) return [];
  return [invalid(field, values, `if '*' is present, must not specify other ${what}`)];
}

function validateResources(field: string, resources: readonly string[]): readonly FieldError[] {
  if (resources.length === 0) return [required(field)];
  const errors: FieldError[] = [];
  const [wholes, everywhere] = [new Set<string>(), new Set<string>()];
  resources.forEach((resource, index) => {
    const path = `${field}[${index}]`;
    if (resource === "") errors.push(required(path));
    const slash = resource.indexOf("/");
    if (slash < 0) return;
    const [kind, part] = [resource.slice(0, slash), resource.slice(slash + 1)];
    const repeats = (star: string) => invalid(path, resource, `if '${star}' is present, must not specify ${resource}`);
    if (wholes.has(kind)) errors.push(repeats(`${kind}/*`));
    if (everywhere.has(part)) errors.push(repeats(`*/${part}`));
    if (part === "*") wholes.add(kind);
    if (kind === "*") everywhere.add(part);
  });
  if (resources.length > 1 && resources.includes("*/*")) {
    errors.push(invalid(field, resources, "if '*/*' is present, must not specify other resources"));
  }
  // Upstream's loop remembers of those without a slash only the last.
  const last = resources.findLast((resource) => resource !== "" && !resource.includes("/"));
  if (resources.includes("*") && last !== "*") {
    const message = "if '*' is present, must not specify other resources without subresources";
    errors.push(invalid(field, resources, message));
  }
  return errors;
}

function validateQualifiedName(field: string, name: string): readonly FieldError[] {
  if (!name) return [required(field)];
  const wrong = isDns1123Subdomain(name);
  if (wrong.length > 0) return messagesAt(field, name, wrong);
  return name.split(".").length < 3
    ? [invalid(field, name, "should be a domain with at least three segments separated by dots")]
    : [];
}

function validateReviewVersions(versions: readonly string[], field: string): readonly FieldError[] {
  const list = reviewVersions.join(", ");
  if (versions.length === 0) return [required(field, `must specify one of ${list}`)];
  if (versions.some((version) => reviewVersions.includes(version))) return [];
  return [invalid(field, versions, `must include at least one of ${list}`)];
}
