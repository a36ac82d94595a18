/**
 * Pods of a runtime class carry its overhead, node selector and tolerations. As plugin/pkg/admission/runtimeclass.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import type { Draft } from "#api/strategy.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { compareQuantities, parseQuantity } from "#apimachinery/quantity.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, findLive, isWriteTo, refuse, synced } from "./admission-tools.ts";

type Resources = Readonly<Record<string, string>>;

export type RuntimeClassOptions = { readonly client: Client; readonly runtimeClasses: Informer<RuntimeClass> };

export class RuntimeClassPlugin implements AdmissionPlugin {
  readonly name = "RuntimeClass";
  readonly #options: RuntimeClassOptions;

  constructor(options: RuntimeClassOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    const { spec } = (attributes.object ?? {}) as Pod;
    return (
      attributes.operation === "CREATE" &&
      isWriteTo(attributes, "", "pods") &&
      (!!spec?.runtimeClassName || spec?.overhead !== undefined)
    );
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const runtimeClass = await this.#classOf(attributes);
    if (!runtimeClass) return undefined;
    const draft = draftOf(attributes);
    const spec = draft["spec"] as Draft;
    const overhead = runtimeClass.overhead?.podFixed;
    if (overhead) {
      if (Object.keys(spec["overhead"] ?? {}).length > 0)
        checkOverhead(attributes, spec["overhead"] as Resources, overhead);
      spec["overhead"] = { ...overhead };
    }
    if (runtimeClass.scheduling) applyScheduling(attributes, spec, runtimeClass.scheduling);
    return draft as KubeObject;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const runtimeClass = await this.#classOf(attributes);
    const given = (attributes.object as Pod).spec?.overhead as Resources | undefined;
    const defined = runtimeClass?.overhead?.podFixed;
    if (defined) checkOverhead(attributes, given ?? {}, defined);
    else if (given)
      throw refuse(attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
  }

  async #classOf(attributes: AdmissionAttributes): Promise<RuntimeClass | undefined> {
    const name = (attributes.object as Pod).spec?.runtimeClassName;
    if (!name) return undefined;
    const ref = { resource: { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" }, name };
    const found =
      (await synced(this.#options.runtimeClasses)).find("", name) ??
      (await findLive<RuntimeClass>(this.#options.client, ref));
    if (!found) throw refuse(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
    return found;
  }
}

function checkOverhead(attributes: AdmissionAttributes, given: Resources, defined: Resources): void {
  const isSame =
    Object.keys(given).length === Object.keys(defined).length &&
    Object.entries(given).every(([key, text]) => {
      const other = defined[key];
      return other !== undefined && compareQuantities(parseQuantity(text), parseQuantity(other)) === 0;
    });
  if (!isSame) throw refuse(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
}

function applyScheduling(
  attributes: AdmissionAttributes,
  spec: Draft,
  scheduling: NonNullable<RuntimeClass["scheduling"]>,
): void {
  const selector = { ...spec["nodeSelector"] } as Record<string, string>;
  for (const [key, value] of Object.entries(scheduling.nodeSelector ?? {})) {
    const own = selector[key];
    if (own !== undefined && own !== value) {
      throw refuse(
        attributes,
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    }
    selector[key] = value;
  }
  if (Object.keys(selector).length > 0) spec["nodeSelector"] = selector;
  const has = new Set<string>((spec["tolerations"] ?? []).map((one: unknown) => JSON.stringify(one)));
  const added = (scheduling.tolerations ?? []).filter((one) => !has.has(JSON.stringify(one)));
  if (added.length > 0) spec["tolerations"] = [...(spec["tolerations"] ?? []), ...added];
}
