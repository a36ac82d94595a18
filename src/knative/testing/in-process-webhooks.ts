/**
 * A part's webhooks without the wire: the same reviewers, called at the same point of a write. For tests.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import type { AdmissionPlugin } from "#apiserver/admission.ts";
import type { Reviewers, Verdict } from "#knative/admission/admission-review.ts";

/** Asks about writes of the kinds of `part` ("serving") and its relatives, and of ConfigMaps. */
export function inProcessWebhooks(part: string, reviewers: Reviewers): AdmissionPlugin {
  const ask = async (
    path: string,
    attributes: Parameters<NonNullable<AdmissionPlugin["mutate"]>>[0],
  ): Promise<Verdict> => {
    const { kind, operation, user, object, oldObject, request } = attributes;
    const typed = (one: KubeObject | undefined) => (one === undefined ? null : { kind: kind.kind, ...one });
    const review = reviewers[path];
    if (review === undefined) return {};
    return review({
      uid: "",
      kind,
      operation,
      subResource: request.subresource,
      userInfo: { username: user.name },
      object: typed(object),
      oldObject: typed(oldObject),
    });
  };
  return {
    name: `${part}Webhooks`,
    handles: ({ kind }) =>
      kind.group.endsWith(".knative.dev") || kind.group === "nodeless.dev" || kind.kind === "ConfigMap",
    async mutate(attributes) {
      return (await ask("/defaulting", attributes)).object;
    },
    async validate(attributes) {
      const path = attributes.kind.kind === "ConfigMap" ? "/config-validation" : "/resource-validation";
      const { refusal } = await ask(path, attributes);
      const hook = `validation.webhook.${part}.knative.dev`;
      if (refusal !== undefined) throw badRequest(`admission webhook "${hook}" denied the request: ${refusal}`);
    },
  };
}
