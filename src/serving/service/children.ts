/**
 * The Configuration and the Route that a Service stands for.
 */
import { lastApplied, ownedMeta, without } from "#knative/objects.ts";
import type { Configuration, Route, Service } from "#serving/kinds.ts";
import { annotations as keys, labels, rolloutDuration } from "#serving/names.ts";

/** What the Service's Configuration shall be. `found` has the routes that use it by now. */
export function configurationOf(service: Service, found: Configuration | undefined): Configuration {
  const { name = "", uid = "", labels: given, annotations } = service.metadata ?? {};
  const routes = new Set(listOf(found?.metadata?.annotations?.[keys.routes]));
  routes.add(name);
  const { template } = service.spec ?? {};
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Configuration",
    metadata: ownedMeta(service, {
      name,
      labels: { ...given, [labels.service]: name, [labels.serviceUid]: uid },
      annotations: {
        ...without(annotations, (key) => key === lastApplied || rolloutDuration.includes(key)),
        [keys.routes]: [...routes].toSorted().join(","),
      },
    }),
    spec: template === undefined ? {} : { template },
  };
}

/** What the Service's Route shall be: targets without a revision follow the Service's Configuration. */
export function routeOf(service: Service): Route {
  const { name = "", labels: given, annotations } = service.metadata ?? {};
  const traffic = (service.spec?.traffic ?? []).map((target) =>
    target.revisionName ? target : { ...target, configurationName: name },
  );
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Route",
    metadata: ownedMeta(service, {
      name,
      labels: { ...given, [labels.service]: name },
      annotations: without(annotations, (key) => key === lastApplied),
    }),
    spec: { traffic },
  };
}

/** Names in an annotation, separated by commas. */
export function listOf(text: string | undefined): readonly string[] {
  return text === undefined || text === "" ? [] : text.split(",");
}
