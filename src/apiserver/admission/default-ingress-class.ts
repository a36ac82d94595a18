/**
 * Ingresses that name no class get the default one. As plugin/pkg/admission/network/defaultingressclass.
 */
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, isWriteTo, synced } from "./admission-tools.ts";

const mark = "ingressclass.kubernetes.io/is-default-class";
const oldAnnotation = "kubernetes.io/ingress.class";

export class DefaultIngressClassPlugin implements AdmissionPlugin {
  readonly name = "DefaultIngressClass";
  readonly #ingressClasses: Informer<IngressClass>;

  constructor(ingressClasses: Informer<IngressClass>) {
    this.#ingressClasses = ingressClasses;
  }

  handles(attributes: AdmissionAttributes): boolean {
    if (attributes.operation !== "CREATE" || !isWriteTo(attributes, "networking.k8s.io", "ingresses")) return false;
    const { spec, metadata } = attributes.object as Ingress;
    return spec?.ingressClassName == null && metadata?.annotations?.[oldAnnotation] === undefined;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const marked = (await synced(this.#ingressClasses))
      .list()
      .filter(({ metadata }) => metadata?.annotations?.[mark] === "true");
    // The newest counts; of those made in the same second the first by name.
    const age = ({ metadata }: IngressClass) => metadata?.creationTimestamp ?? "";
    const [newest] = marked.sort((a, b) =>
      age(a) === age(b) ? ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1) : age(a) > age(b) ? -1 : 1,
    );
    if (!newest?.metadata?.name) return undefined;
    const draft = draftOf(attributes);
    draft["spec"] = { ...draft["spec"], ingressClassName: newest.metadata.name };
    return draft as KubeObject;
  }
}
