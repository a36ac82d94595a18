/**
 * Versions that this build speaks of.
 */

/** nodeless' own version, as in package.json. */
export const nodelessVersion = "0.1.0";

/** The Kubernetes version whose API is served. */
export const kubernetesVersion = "v1.36.3";
