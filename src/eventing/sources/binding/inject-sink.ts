/**
 * Puts a sink's address into the containers of an object with a pod template, and takes it out again: K_SINK, K_CE_OVERRIDES and, with a certificate of its own, K_CA_CERTS. As upstream's `SinkBinding.Do` and `Undo` (v1.22).
 */
import type { Container, EnvVar } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import type { SinkBinding } from "#eventing/sources/kinds.ts";

type PodSpec = { readonly containers?: readonly Container[]; readonly initContainers?: readonly Container[] };
type Template = { readonly spec?: PodSpec };
type Spec = {
  readonly template?: Template;
  readonly jobTemplate?: { readonly spec?: { readonly template?: Template } };
};

/** Any object that makes pods. */
export type WithPods = KubeObject & { readonly spec?: Spec };

const names = ["K_SINK", "K_CE_OVERRIDES", "K_CA_CERTS"];

/** The object with the variables of that binding, or without any. What is not its affair is left as it is. */
export function withSink<T extends WithPods>(object: T, binding: SinkBinding | undefined): T {
  const env = binding === undefined ? [] : environmentOf(binding);
  const { spec } = object;
  if (spec?.jobTemplate?.spec?.template !== undefined) {
    const template = inTemplate(spec.jobTemplate.spec.template, env);
    return {
      ...object,
      spec: { ...spec, jobTemplate: { ...spec.jobTemplate, spec: { ...spec.jobTemplate.spec, template } } },
    };
  }
  if (spec?.template === undefined) return object;
  return { ...object, spec: { ...spec, template: inTemplate(spec.template, env) } };
}

/** Whether the binding is about this object, and knows its sink. */
export function isBound({ metadata, spec, status }: SinkBinding, object: KubeObject): boolean {
  const { apiVersion = "", kind, namespace, name, selector } = spec?.subject ?? {};
  if (!status?.sinkUri || metadata?.deletionTimestamp !== undefined) return false;
  if (object.kind !== kind || (object.metadata?.namespace ?? "") !== (namespace ?? metadata?.namespace)) return false;
  if (parseApiVersion(object.apiVersion ?? "").group !== parseApiVersion(apiVersion).group) return false;
  if (name) return object.metadata?.name === name;
  return selector !== undefined && matchesLabelSelector(selector, object.metadata?.labels ?? {});
}

function environmentOf({ spec, status }: SinkBinding): readonly EnvVar[] {
  const overrides = spec?.ceOverrides === undefined ? "" : JSON.stringify(spec.ceOverrides);
  return [
    { name: "K_SINK", value: status?.sinkUri ?? "" },
    ...(status?.sinkCACerts === undefined ? [] : [{ name: "K_CA_CERTS", value: status.sinkCACerts }]),
    { name: "K_CE_OVERRIDES", value: overrides },
  ];
}

function inTemplate(template: Template, env: readonly EnvVar[]): Template {
  const { containers, initContainers } = template.spec ?? {};
  return {
    ...template,
    spec: {
      ...template.spec,
      ...(containers === undefined ? {} : { containers: containers.map((one) => inContainer(one, env)) }),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map((one) => inContainer(one, env)) }),
    },
  };
}

function inContainer(container: Container, env: readonly EnvVar[]): Container {
  const others = (container.env ?? []).filter(({ name }) => !names.includes(name));
  if (others.length + env.length === 0 && container.env === undefined) return container;
  return { ...container, env: [...others, ...env] };
}
