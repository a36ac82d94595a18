/**
 * Pods stay five minutes on a node that is not ready or not reached, unless they say otherwise. As plugin/pkg/admission/defaulttolerationseconds.
 */
import type { Pod, Toleration } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { draftOf, isWriteTo } from "./admission-tools.ts";

const keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const tolerationSeconds = 300;

export class DefaultTolerationSecondsPlugin implements AdmissionPlugin {
  readonly name = "DefaultTolerationSeconds";

  handles(attributes: AdmissionAttributes): boolean {
    const isWrite = attributes.operation === "CREATE" || attributes.operation === "UPDATE";
    return isWrite && isWriteTo(attributes, "", "pods") && missing(attributes.object as Pod).length > 0;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const added = missing(attributes.object as Pod).map((key) => ({
      key,
      operator: "Exists",
      effect: "NoExecute",
      tolerationSeconds,
    }));
    const draft = draftOf(attributes);
    draft["spec"].tolerations = [...(draft["spec"].tolerations ?? []), ...added];
    return draft as KubeObject;
  }
}

function missing({ spec }: Pod): readonly string[] {
  return keys.filter((key) => !spec?.tolerations?.some((toleration) => tolerates(toleration, key)));
}

function tolerates({ key, effect }: Toleration, wanted: string): boolean {
  return (!key || key === wanted) && (!effect || effect === "NoExecute");
}
