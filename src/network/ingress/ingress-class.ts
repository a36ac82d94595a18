/**
 * Which Ingresses are ours: those whose IngressClass names our controller, and those that still say so by the annotation of before 1.18. A default class is put in by admission, so an Ingress without any
 * class is nobody's.
 */
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";

/** `spec.controller` of IngressClasses that nodeless serves. */
export const ingressController = "nodeless.dev/ingress";
/** The class that comes with a cluster. */
export const ingressClassName = "nodeless";
const annotation = "kubernetes.io/ingress.class";

/** `findClass` knows the cluster's IngressClasses. */
export function isOurs(ingress: Ingress, findClass: (name: string) => IngressClass | undefined): boolean {
  const named = ingress.spec?.ingressClassName;
  if (named !== undefined) return findClass(named)?.spec?.controller === ingressController;
  return ingress.metadata?.annotations?.[annotation] === ingressClassName;
}
