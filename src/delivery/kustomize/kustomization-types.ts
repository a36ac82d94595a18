/**
 * A kustomization.yaml, as far as it is understood here; and an object on its way through several of them.
 */
import type { Manifest } from "#delivery/manifests/read-manifests.ts";

/** An object that may still change. Others may mean it by any name that it had. */
export type Draft = Manifest & {
  readonly names: readonly string[];
  /** Its name is to end in a hash of what it holds, when all is done. */
  readonly isHashed: boolean;
};

export type LabelEntry = {
  readonly pairs?: Readonly<Record<string, string>>;
  readonly includeSelectors?: boolean;
  readonly includeTemplates?: boolean;
};

export type ImageEntry = {
  readonly name: string;
  readonly newName?: string;
  readonly newTag?: string;
  readonly digest?: string;
};

export type Generator = {
  readonly name?: string;
  readonly namespace?: string;
  readonly behavior?: "create" | "replace" | "merge";
  readonly type?: string;
  readonly literals?: readonly string[];
  readonly files?: readonly string[];
  readonly envs?: readonly string[];
  readonly options?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly disableNameSuffixHash?: boolean;
    readonly immutable?: boolean;
  };
};

export type PatchTarget = {
  readonly group?: string;
  readonly version?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly labelSelector?: string;
};

export type PatchEntry = {
  readonly path?: string;
  readonly patch?: string;
  readonly target?: PatchTarget;
  readonly options?: { readonly allowNameChange?: boolean };
};

export type Kustomization = {
  readonly resources?: readonly string[];
  readonly bases?: readonly string[];
  readonly components?: readonly string[];
  readonly namespace?: string;
  readonly namePrefix?: string;
  readonly nameSuffix?: string;
  readonly labels?: readonly LabelEntry[];
  readonly commonLabels?: Readonly<Record<string, string>>;
  readonly commonAnnotations?: Readonly<Record<string, string>>;
  readonly images?: readonly ImageEntry[];
  readonly replicas?: readonly { readonly name: string; readonly count: number }[];
  readonly configMapGenerator?: readonly Generator[];
  readonly secretGenerator?: readonly Generator[];
  readonly generatorOptions?: Generator["options"];
  readonly patches?: readonly PatchEntry[];
  readonly patchesStrategicMerge?: readonly string[];
  readonly patchesJson6902?: readonly PatchEntry[];
};
