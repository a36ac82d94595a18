/**
 * HorizontalPodAutoscalers of both versions. As pkg/apis/autoscaling/{v1,v2}/defaults.go, pkg/apis/autoscaling/validation and its registry strategy.
 */
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
  MetricSpec,
} from "#api/generated/types/autoscaling-v2.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateSupported } from "#api/validation.ts";
import { type FieldError, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";

const sources = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
} as const;

export const horizontalPodAutoscalerStrategy: KindStrategy<HorizontalPodAutoscaler> = {
  hasNoGeneration: true,
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setDefault(spec, "minReplicas", 1);
    // autoscaling/v1 gets its metric when it is converted.
    if (parseApiVersion(draft["apiVersion"] ?? "").version === "v1") return;
    if (!spec["metrics"]?.length) {
      const target = { type: "Utilization", averageUtilization: 80 };
      spec["metrics"] = [{ type: "Resource", resource: { name: "cpu", target } }];
    }
    if (spec["behavior"]) applyBehaviorDefaults(spec["behavior"] as Draft);
  },
  prepareForCreate(draft) {
    draft["status"] = { desiredReplicas: 0, currentMetrics: null };
  },
  validate: (autoscaler) => validate(autoscaler, false),
  // Those from before the rule stay valid.
  validateUpdate: (autoscaler, old) => validate(autoscaler, targetGroup(old) === ""),
};

function targetGroup({ spec }: HorizontalPodAutoscaler): string {
  return parseApiVersion(spec?.scaleTargetRef?.apiVersion ?? "").group;
}

function applyBehaviorDefaults(behavior: Draft): void {
  const percent = { type: "Percent", value: 100, periodSeconds: 15 };
  const scaleUp = ensureObject(behavior, "scaleUp");
  setDefault(scaleUp, "stabilizationWindowSeconds", 0);
  setDefault(scaleUp, "selectPolicy", "Max");
  setDefault(scaleUp, "policies", [{ type: "Pods", value: 4, periodSeconds: 15 }, percent]);
  const scaleDown = ensureObject(behavior, "scaleDown");
  setDefault(scaleDown, "selectPolicy", "Max");
  setDefault(scaleDown, "policies", [percent]);
}

function validate(autoscaler: HorizontalPodAutoscaler, allowsEmptyGroup: boolean): readonly FieldError[] {
  const { spec } = autoscaler;
  const errors: FieldError[] = [];
  const { minReplicas, scaleTargetRef, metrics }: Partial<HorizontalPodAutoscalerSpec> = spec ?? {};
  const maxReplicas: number = spec?.maxReplicas ?? 0;
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.push(invalid("spec.minReplicas", minReplicas, "must be greater than or equal to 1"));
  }
  if (maxReplicas === 0) errors.push(required("spec.maxReplicas", "must be set and greater than 0"));
  if (maxReplicas < 0) errors.push(invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to 1"));
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.push(invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  }
  if (!scaleTargetRef?.kind) errors.push(required("spec.scaleTargetRef.kind"));
  if (!scaleTargetRef?.name) errors.push(required("spec.scaleTargetRef.name"));
  if (!allowsEmptyGroup && targetGroup(autoscaler) === "") {
    const given = scaleTargetRef?.apiVersion ?? "";
    errors.push(invalid("spec.scaleTargetRef.apiVersion", given, "apiVersion must specify API group"));
  }
  metrics?.forEach((metric, index) => errors.push(...validateMetric(metric, `spec.metrics[${index}]`)));
  if (minReplicas === 0 && metrics && !metrics.some(({ type }) => type === "Object" || type === "External")) {
    const message = "must specify at least one Object or External metric to support scaling to zero replicas";
    errors.push(forbiddenField("spec.metrics", message));
  }
  for (const side of ["scaleUp", "scaleDown"] as const) {
    const rules = spec?.behavior?.[side];
    errors.push(
      ...validateSupported(`spec.behavior.${side}.selectPolicy`, rules?.selectPolicy, ["Disabled", "Max", "Min"]),
    );
    const seconds = rules?.stabilizationWindowSeconds ?? 0;
    const field = `spec.behavior.${side}.stabilizationWindowSeconds`;
    if (seconds < 0) errors.push(invalid(field, seconds, "must be greater than or equal to zero"));
    if (seconds > 3600) errors.push(invalid(field, seconds, "must be less than or equal to 3600"));
  }
  return errors;
}

function validateMetric(metric: MetricSpec, field: string): readonly FieldError[] {
  if (!metric.type) return [required(`${field}.type`, "must specify a metric source type")];
  const wrongType = validateSupported(`${field}.type`, metric.type, Object.keys(sources));
  if (wrongType.length > 0) return wrongType;
  const name = sources[metric.type as keyof typeof sources];
  const source = metric[name];
  if (source === undefined)
    return [required(`${field}.${name}`, "must populate information for the given metric source")];
  const { target } = source;
  if (!target?.type) return [required(`${field}.${name}.target.type`, "must specify a metric target type")];
  return validateSupported(`${field}.${name}.target.type`, target.type, ["AverageValue", "Utilization", "Value"]);
}
