/**
 * A new node takes no pods until it says that it is ready. As plugin/pkg/admission/nodetaint.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { draftOf, isWriteTo } from "./admission-tools.ts";

const key = "node.kubernetes.io/not-ready";

export class TaintNodesByConditionPlugin implements AdmissionPlugin {
  readonly name = "TaintNodesByCondition";

  handles(attributes: AdmissionAttributes): boolean {
    if (attributes.operation !== "CREATE" || !isWriteTo(attributes, "", "nodes")) return false;
    return !(attributes.object as Node).spec?.taints?.some(
      (taint) => taint.key === key && taint.effect === "NoSchedule",
    );
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const draft = draftOf(attributes);
    draft["spec"] = { ...draft["spec"], taints: [...(draft["spec"]?.taints ?? []), { key, effect: "NoSchedule" }] };
    return draft as KubeObject;
  }
}
