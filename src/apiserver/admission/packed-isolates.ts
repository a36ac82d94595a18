/**
 * Pods of isolates in namespaces that want theirs packed (label `nodeless.dev/isolates: packed`) get the runtime class for it; what such a pod cannot have is refused here, by name. A pod
 * with the label `nodeless.dev/isolates: alone` keeps a process of its own. Ours: upstream has nothing like it.
 */
import type { Namespace, Pod } from "#api/generated/types/core-v1.ts";
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, findLive, isWriteTo, refuse, synced } from "./admission-tools.ts";

export const packingLabel = "nodeless.dev/isolates";
const aloneClass = "isolate";
const packedClass = "isolate-packed";

export type PackedIsolatesOptions = {
  readonly client: Client;
  readonly namespaces: Informer<Namespace>;
  readonly runtimeClasses: Informer<RuntimeClass>;
};

/** Must come before the plugin that looks the runtime class up. */
export class PackedIsolatesPlugin implements AdmissionPlugin {
  readonly name = "PackedIsolates";
  readonly #options: PackedIsolatesOptions;

  constructor(options: PackedIsolatesOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    if (attributes.operation !== "CREATE" || !isWriteTo(attributes, "", "pods")) return false;
    const className = (attributes.object as Pod).spec?.runtimeClassName;
    return className === aloneClass || className === packedClass;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const { spec, metadata } = attributes.object as Pod;
    if (spec?.runtimeClassName !== aloneClass || metadata?.labels?.[packingLabel] === "alone") return undefined;
    const namespace = attributes.request.namespace ?? "";
    const found =
      (await synced(this.#options.namespaces)).find("", namespace) ??
      (await findLive<Namespace>(this.#options.client, {
        resource: { group: "", version: "v1", resource: "namespaces" },
        name: namespace,
      }));
    if (found?.metadata?.labels?.[packingLabel] !== "packed") return undefined;
    // A cluster without root has no such class: each has a process of its own there.
    if (!(await synced(this.#options.runtimeClasses)).find("", packedClass)) return undefined;
    const draft = draftOf(attributes);
    draft["spec"] = { ...draft["spec"], runtimeClassName: packedClass };
    return draft as KubeObject;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { spec } = attributes.object as Pod;
    if (spec?.runtimeClassName !== packedClass) return;
    const asked = [
      spec.containers?.length === 1 ? undefined : "more than one container",
      (spec.initContainers ?? []).length > 0 ? "initContainers" : undefined,
      (spec.hostAliases ?? []).length > 0 ? "hostAliases" : undefined,
      spec.dnsConfig ? "dnsConfig" : undefined,
      ["ClusterFirst", undefined].includes(spec.dnsPolicy) ? undefined : `dnsPolicy ${spec.dnsPolicy}`,
      (spec.securityContext?.sysctls ?? []).length > 0 ? "sysctls" : undefined,
    ].find((it) => it !== undefined);
    if (asked === undefined) return;
    const why = `a packed isolate shares its process with others and cannot have ${asked}; the label ${packingLabel}: alone gives the pod a process of its own`;
    throw refuse(attributes, `pod rejected: ${why}`);
  }
}
