/**
 * Nothing is made in a namespace that is not there or is ending, and the namespaces of the system cannot be deleted. As apiserver's pkg/admission/plugin/namespace/lifecycle.
 */
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { notFound, StatusError } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import { findLive, isWriteTo, refuse, synced } from "./admission-tools.ts";

const immortal = ["default", "kube-system", "kube-public"];
/** After a delete the local copy may be behind for a moment. */
const distrustMs = 30_000;

export type NamespaceLifecycleOptions = {
  readonly client: Client;
  readonly namespaces: Informer<Namespace>;
  readonly clock: Clock;
};

export class NamespaceLifecyclePlugin implements AdmissionPlugin {
  readonly name = "NamespaceLifecycle";
  readonly #options: NamespaceLifecycleOptions;
  readonly #deletedAtMs = new Map<string, number>();

  constructor(options: NamespaceLifecycleOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    if (isWriteTo(attributes, "", "namespaces")) return attributes.operation === "DELETE";
    if (attributes.request.resource === "namespaces" && attributes.request.apiGroup === "") return false;
    // Access reviews tell nothing about the namespace.
    const isReview = attributes.request.apiGroup === "authorization.k8s.io";
    return attributes.operation === "CREATE" && attributes.request.namespace !== "" && !isReview;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    if (attributes.operation === "DELETE") return this.#checkDelete(attributes);
    const { namespace } = attributes.request;
    const found = await this.#find(namespace);
    if (!found) throw notFound({ group: "", resource: "namespaces", name: namespace });
    if (found.status?.phase === "Terminating") throw terminating(attributes, namespace);
  }

  #checkDelete(attributes: AdmissionAttributes): void {
    const { name } = attributes.request;
    if (immortal.includes(name)) throw refuse(attributes, "this namespace may not be deleted");
    if (this.#deletedAtMs.size > 100) this.#deletedAtMs.clear();
    this.#deletedAtMs.set(name, this.#options.clock.now());
  }

  async #find(name: string): Promise<Namespace | undefined> {
    const known = (await synced(this.#options.namespaces)).find("", name);
    if (known && (known.status?.phase === "Terminating" || !this.#isDistrusted(name))) return known;
    return findLive(this.#options.client, { resource: { group: "", version: "v1", resource: "namespaces" }, name });
  }

  #isDistrusted(name: string): boolean {
    const deletedAtMs = this.#deletedAtMs.get(name);
    if (deletedAtMs === undefined) return false;
    if (this.#options.clock.now() < deletedAtMs + distrustMs) return true;
    this.#deletedAtMs.delete(name);
    return false;
  }
}

function terminating(attributes: AdmissionAttributes, namespace: string): StatusError {
  const error = refuse(
    attributes,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  const cause = {
    reason: "NamespaceTerminating",
    message: `namespace ${namespace} is being terminated`,
    field: "metadata.namespace",
  };
  return new StatusError({
    reason: "Forbidden",
    code: 403,
    message: error.message,
    details: { ...error.details, causes: [cause] },
  });
}
