/**
 * Turns the name of a pod's priority class into its number. As plugin/pkg/admission/priority.
 */
import type { PriorityClass } from "#api/generated/types/scheduling-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Draft } from "#api/strategy.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, findLive, isWriteTo, refuse, synced } from "./admission-tools.ts";

/** What a pod gets from its class. */
type Priority = { readonly className: string; readonly value: number; readonly preemptionPolicy: string };

export type PriorityOptions = { readonly client: Client; readonly priorityClasses: Informer<PriorityClass> };

export class PriorityPlugin implements AdmissionPlugin {
  readonly name = "Priority";
  readonly #options: PriorityOptions;

  constructor(options: PriorityOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    const isWrite = attributes.operation === "CREATE" || attributes.operation === "UPDATE";
    return (
      isWrite && (isWriteTo(attributes, "", "pods") || isWriteTo(attributes, "scheduling.k8s.io", "priorityclasses"))
    );
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    if (attributes.request.resource !== "pods") return undefined;
    const draft = draftOf(attributes);
    const spec = draft["spec"] as Draft;
    if (attributes.operation === "UPDATE") return keepPriority(draft, attributes.oldObject as Pod);
    const priority = await this.#priorityOf(attributes, spec);
    checkGiven(attributes, spec, priority);
    if (priority.className !== "") spec["priorityClassName"] = priority.className;
    spec["priority"] = priority.value;
    spec["preemptionPolicy"] = priority.preemptionPolicy;
    return draft as KubeObject;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const made = attributes.object as PriorityClass;
    if (attributes.request.resource !== "priorityclasses" || made.globalDefault !== true) return;
    const others = (await synced(this.#options.priorityClasses)).list().filter((one) => one.globalDefault === true);
    const other = others.find((one) => one.metadata?.name !== made.metadata?.name);
    if (other)
      throw refuse(
        attributes,
        `PriorityClass ${other.metadata?.name} is already marked as default. Only one default can exist`,
      );
  }

  async #priorityOf(attributes: AdmissionAttributes, spec: Draft): Promise<Priority> {
    const lister = await synced(this.#options.priorityClasses);
    const name = spec["priorityClassName"] as string | undefined;
    if (!name) {
      // Several can be marked for a moment: the lowest counts.
      const [lowest] = lister
        .list()
        .filter((one) => one.globalDefault === true)
        .sort((a, b) => (a.value ?? 0) - (b.value ?? 0));
      return lowest ? toPriority(lowest) : { className: "", value: 0, preemptionPolicy: "PreemptLowerPriority" };
    }
    const ref = { resource: { group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses" }, name };
    const found = lister.find("", name) ?? (await findLive<PriorityClass>(this.#options.client, ref));
    if (!found) throw refuse(attributes, `no PriorityClass with name ${name} was found`);
    return toPriority(found);
  }
}

function toPriority({ metadata, value, preemptionPolicy }: PriorityClass): Priority {
  return {
    className: metadata?.name ?? "",
    value: value ?? 0,
    preemptionPolicy: preemptionPolicy ?? "PreemptLowerPriority",
  };
}

function checkGiven(attributes: AdmissionAttributes, spec: Draft, { value, preemptionPolicy }: Priority): void {
  const computed = (what: string) => `priority admission controller computed ${what} from the given PriorityClass name`;
  if (spec["priority"] != null && spec["priority"] !== value) {
    throw refuse(
      attributes,
      `the integer value of priority (${spec["priority"]}) must not be provided in pod spec; ${computed(String(value))}`,
    );
  }
  if (spec["preemptionPolicy"] && spec["preemptionPolicy"] !== preemptionPolicy) {
    const given = spec["preemptionPolicy"] as string;
    throw refuse(
      attributes,
      `the string value of PreemptionPolicy (${given}) must not be provided in pod spec; ${computed(preemptionPolicy)}`,
    );
  }
}

/** Old clients send pods back without these fields. */
function keepPriority(draft: Draft, { spec }: Pod): KubeObject {
  if (draft["spec"].priority == null && spec?.priority != null) draft["spec"].priority = spec.priority;
  if (draft["spec"].preemptionPolicy == null && spec?.preemptionPolicy)
    draft["spec"].preemptionPolicy = spec.preemptionPolicy;
  return draft as KubeObject;
}
