/**
 * Metrics of HorizontalPodAutoscalers in the older shape that autoscaling/v1 keeps in annotations: flat, without `target`, `metric` and `current`. Conversions as in
 * upstream's pkg/apis/autoscaling/v1.
 */
import type { Draft } from "#api/strategy.ts";

/** One metric of `spec.metrics`, v2 → v1. */
export function toOldMetric(metric: Draft): Draft {
  return convert(metric, {
    object: ({ describedObject, target, metric: id }) => ({
      target: describedObject,
      metricName: id?.name ?? "",
      targetValue: target?.value ?? "0",
      selector: id?.selector,
      averageValue: target?.averageValue,
    }),
    pods: ({ target, metric: id }) => ({
      metricName: id?.name ?? "",
      targetAverageValue: target?.averageValue ?? "0",
      selector: id?.selector,
    }),
    resource: ({ name, target }) => ({ name, ...oldTarget(target) }),
    containerResource: ({ name, container, target }) => ({ name, ...oldTarget(target), container }),
    external: ({ target, metric: id }) => ({
      metricName: id?.name ?? "",
      metricSelector: id?.selector,
      targetValue: target?.value,
      targetAverageValue: target?.averageValue,
    }),
  });
}

/** One metric of `spec.metrics`, v1 → v2. */
export function toNewMetric(metric: Draft): Draft {
  return convert(metric, {
    object: ({ target, metricName, targetValue, selector, averageValue }) => {
      // The old shape cannot leave the value out: beside an average, "0" means none.
      const value = averageValue === undefined || targetValue !== "0" ? targetValue : undefined;
      const type = averageValue === undefined ? "Value" : "AverageValue";
      return { describedObject: target, target: { type, value, averageValue }, metric: { name: metricName, selector } };
    },
    pods: ({ metricName, selector, targetAverageValue }) => ({
      metric: { name: metricName, selector },
      target: { type: "AverageValue", averageValue: targetAverageValue },
    }),
    resource: ({ name, ...rest }) => ({ name, target: newTarget(rest) }),
    containerResource: ({ name, container, ...rest }) => ({ name, target: newTarget(rest), container }),
    external: ({ metricName, metricSelector, targetValue, targetAverageValue }) => ({
      metric: { name: metricName, selector: metricSelector },
      target: {
        type: targetValue === undefined ? "AverageValue" : "Value",
        value: targetValue,
        averageValue: targetAverageValue,
      },
    }),
  });
}

/** One metric of `status.currentMetrics`, v2 → v1. */
export function toOldStatus(status: Draft): Draft {
  return convert(status, {
    object: ({ describedObject, current, metric: id }) => ({
      target: describedObject,
      metricName: id?.name ?? "",
      currentValue: current?.value ?? "0",
      selector: id?.selector,
      averageValue: current?.averageValue,
    }),
    pods: ({ current, metric: id }) => ({
      metricName: id?.name ?? "",
      currentAverageValue: current?.averageValue ?? "0",
      selector: id?.selector,
    }),
    resource: ({ name, current }) => ({ name, ...oldCurrent(current) }),
    containerResource: ({ name, container, current }) => ({ name, ...oldCurrent(current), container }),
    external: ({ current, metric: id }) => ({
      metricName: id?.name ?? "",
      metricSelector: id?.selector,
      currentValue: current?.value ?? "0",
      currentAverageValue: current?.averageValue,
    }),
  });
}

/** One metric of `status.currentMetrics`, v1 → v2. */
export function toNewStatus(status: Draft): Draft {
  return convert(status, {
    object: ({ target, metricName, currentValue, selector, averageValue }) => ({
      metric: { name: metricName, selector },
      current: { value: currentValue, averageValue },
      describedObject: target,
    }),
    pods: ({ metricName, currentAverageValue, selector }) => ({
      metric: { name: metricName, selector },
      current: { averageValue: currentAverageValue },
    }),
    resource: ({ name, ...rest }) => ({ name, current: newCurrent(rest) }),
    containerResource: ({ name, container, ...rest }) => ({ name, current: newCurrent(rest), container }),
    external: ({ metricName, metricSelector, currentValue, currentAverageValue }) => ({
      metric: { name: metricName, selector: metricSelector },
      current: { value: currentValue, averageValue: currentAverageValue },
    }),
  });
}

/** Converts the one source that the metric has. */
function convert(metric: Draft, sources: Readonly<Record<string, (source: Draft) => Draft>>): Draft {
  const converted: Draft = { type: metric["type"] ?? "" };
  for (const [name, change] of Object.entries(sources)) {
    const source = metric[name];
    if (source !== undefined && source !== null) converted[name] = defined(change(source));
  }
  return converted;
}

function oldTarget(target: Draft | undefined): Draft {
  return { targetAverageUtilization: target?.["averageUtilization"], targetAverageValue: target?.["averageValue"] };
}

function newTarget({ targetAverageUtilization: averageUtilization, targetAverageValue: averageValue }: Draft): Draft {
  return { type: averageUtilization === undefined ? "AverageValue" : "Utilization", averageValue, averageUtilization };
}

function oldCurrent(current: Draft | undefined): Draft {
  return {
    currentAverageUtilization: current?.["averageUtilization"],
    currentAverageValue: current?.["averageValue"] ?? "0",
  };
}

function newCurrent({
  currentAverageUtilization: averageUtilization,
  currentAverageValue: averageValue,
}: Draft): Draft {
  return { averageValue, averageUtilization };
}

/** Without undefined values, also one level down. */
function defined(object: Draft): Draft {
  const isPlain = (value: unknown): value is Draft =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, isPlain(value) ? defined(value) : value]));
}
