/**
 * Mutating and validating webhook configurations. As pkg/apis/admissionregistration/{v1/defaults.go,validation}.
 */
import type {
  MutatingWebhookConfiguration,
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
  errors.push(...validateSupported(`${field}.failurePolicy`, failurePolicy, ["Fail", "Ignore"]));
  errors.push(...validateSupported(`${field}.matchPolicy`, matchPolicy, ["Equivalent", "Exact"]));
  if (!sideEffects) errors.push(required(`${field}.sideEffects`, "must specify one of None, NoneOnDryRun"));
  else errors.push(...validateSupported(`${field}.sideEffects`, sideEffects, ["None", "NoneOnDryRun"]));
  if (timeoutSeconds !== undefined && (timeoutSeconds > 30 || timeoutSeconds < 1)) {
    errors.push(
      invalid(`${field}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"),
    );
  }
  errors.push(...validateReviewVersions(webhook.admissionReviewVersions ?? [], `${field}.admissionReviewVersions`));
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
  webhook.rules?.forEach((rule, index) => {
    for (const list of ["operations", "apiGroups", "apiVersions", "resources"] as const) {
      if (!rule[list]?.length) errors.push(required(`${field}.rules[${index}].${list}`));
    }
  });
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
