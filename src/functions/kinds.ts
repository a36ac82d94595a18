/**
 * What this part knows of kinds that are not its own.
 */
import type { FunctionTraffic } from "#api/nodeless/function.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Addressable, Condition } from "#knative/duck.ts";

export const knativeServices: GroupVersionResource = {
  group: "serving.knative.dev",
  version: "v1",
  resource: "services",
};
export const configMaps: GroupVersionResource = { group: "", version: "v1", resource: "configmaps" };

/** What is read and written of a Knative Service. */
export type KnativeService = KubeObject & {
  readonly spec?: {
    readonly template?: {
      readonly metadata?: {
        readonly labels?: Readonly<Record<string, string>>;
        readonly annotations?: Readonly<Record<string, string>>;
      };
      readonly spec?: object;
    };
    readonly traffic?: readonly FunctionTraffic[];
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
    readonly url?: string;
    readonly address?: Addressable;
    readonly latestCreatedRevisionName?: string;
    readonly latestReadyRevisionName?: string;
  };
};
