/**
 * Which Ingresses are ours: those whose IngressClass names our controller, and those that still say so by the annotation of before 1.18. A default class is put in by admission, so an Ingress without any
 * class is nobody's.
 */
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";

/** `spec.controller` of IngressClasses that nodeless serves. */
export const ingressController = "nodeless.dev/ingress";
/** The class that comes with a cluster. */
export const ingressClassName = "nodeless";
/** On the class that Ingresses without one get. */
export const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";
const annotation = "kubernetes.io/ingress.class";

/** `findClass` knows the cluster's IngressClasses. */
export function isOurs(ingress: Ingress, findClass: (name: string) => IngressClass | undefined): boolean {
  const named = ingress.spec?.ingressClassName;
  if (named !== undefined) return findClass(named)?.spec?.controller === ingressController;
  return ingress.metadata?.annotations?.[annotation] === ingressClassName;
}

/** Services of an Ingress' backends, as "namespace/name". */
export function servicesOf({ metadata, spec }: Ingress): readonly string[] {
  const paths = (spec?.rules ?? []).flatMap((rule) => rule.http?.paths ?? []);
  const backends = [spec?.defaultBackend, ...paths.map(({ backend }) => backend)];
  const names = backends.flatMap((backend) => (backend?.service === undefined ? [] : [backend.service.name]));
  return [...new Set(names)].map((name) => `${metadata?.namespace ?? ""}/${name}`);
}

/** Secrets with its certificates, as "namespace/name". */
export function secretsOf({ metadata, spec }: Ingress): readonly string[] {
  const names = (spec?.tls ?? []).flatMap(({ secretName = "" }) => (secretName === "" ? [] : [secretName]));
  return [...new Set(names)].map((name) => `${metadata?.namespace ?? ""}/${name}`);
}
