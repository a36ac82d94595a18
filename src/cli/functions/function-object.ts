/**
 * The kind Function as commands see it.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";

export const functions: GroupVersionResource = { group: "nodeless.dev", version: "v1alpha1", resource: "functions" };

export type FunctionCondition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
};

export type FunctionObject = KubeObject & {
  readonly spec?: {
    readonly runtime?: string;
    readonly entrypoint?: string;
    readonly source?: {
      readonly inline?: { readonly files?: Readonly<Record<string, string>> };
      readonly git?: { readonly url?: string; readonly revision?: string; readonly path?: string };
      readonly artifact?: { readonly reference?: string };
      readonly image?: string;
    };
    readonly [field: string]: unknown;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly FunctionCondition[];
    readonly url?: string;
    readonly image?: string;
    readonly build?: { readonly inputHash?: string; readonly commit?: string };
    readonly buildLog?: { readonly configMapName?: string };
    readonly latestCreatedRevisionName?: string;
    readonly latestReadyRevisionName?: string;
  };
};

/** The condition of a type. */
export function conditionOf({ status }: FunctionObject, type: string): FunctionCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}
