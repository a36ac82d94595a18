/**
 * FlowSchemas and PriorityLevelConfigurations. As pkg/apis/flowcontrol/{v1/defaults.go,validation}.
 */
import type { FlowSchema, PriorityLevelConfiguration } from "#api/generated/types/flowcontrol-v1.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateSupported } from "#api/validation.ts";
import { invalid, required } from "#apimachinery/field-error.ts";

const highestPrecedence = 10_000;

export const flowSchemaStrategy: KindStrategy<FlowSchema> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    if (!spec["matchingPrecedence"]) spec["matchingPrecedence"] = 1000;
  },
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validate: ({ spec }) => {
    const precedence = spec?.matchingPrecedence ?? 0;
    return [
      ...(precedence < 1 ? [invalid("spec.matchingPrecedence", precedence, "must be a positive value")] : []),
      ...(precedence > highestPrecedence
        ? [invalid("spec.matchingPrecedence", precedence, `must not be greater than ${highestPrecedence}`)]
        : []),
      ...validateSupported("spec.distinguisherMethod.type", spec?.distinguisherMethod?.type, ["ByNamespace", "ByUser"]),
      ...(spec?.priorityLevelConfiguration?.name ? [] : [required("spec.priorityLevelConfiguration.name")]),
    ];
  },
};

export const priorityLevelConfigurationStrategy: KindStrategy<PriorityLevelConfiguration> = {
  applyDefaults(draft) {
    const { exempt, limited }: Draft = draft["spec"] ?? {};
    if (exempt) {
      setDefault(exempt as Draft, "nominalConcurrencyShares", 0);
      setDefault(exempt as Draft, "lendablePercent", 0);
    }
    if (!limited) return;
    setDefault(limited as Draft, "nominalConcurrencyShares", 30);
    setDefault(limited as Draft, "lendablePercent", 0);
    const queuing = limited.limitResponse?.queuing as Draft | undefined;
    if (!queuing) return;
    if (!queuing["handSize"]) queuing["handSize"] = 8;
    if (!queuing["queues"]) queuing["queues"] = 64;
    if (!queuing["queueLengthLimit"]) queuing["queueLengthLimit"] = 50;
  },
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validate: ({ spec }) =>
    spec?.type ? validateSupported("spec.type", spec.type, ["Exempt", "Limited"]) : [required("spec.type")],
};
