/**
 * Shapes that objects of all of Knative's groups share, whatever else they hold: conditions, addresses, references. As upstream's `knative.dev/pkg/apis/duck/v1`.
 */
import type { KubeObject } from "#apimachinery/meta.ts";

/** One thing that is or is not so about an object. Absent severity means "error": it counts towards Ready. */
export type Condition = {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly severity?: string;
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
};

/** What every status begins with. */
export type DuckStatus = {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly annotations?: Readonly<Record<string, string>>;
};

/** Any object with Knative's kind of status. */
export type Conditioned = KubeObject & { readonly status?: DuckStatus };

/** Where something answers. */
export type Addressable = {
  readonly name?: string;
  readonly url?: string;
  /** PEM, when the address's certificate is not signed by one that everybody trusts. */
  readonly CACerts?: string;
  /** Whom a bearer token is to be for. */
  readonly audience?: string;
};

export type ObjectReference = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
};
