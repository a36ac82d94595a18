/**
 * What fields of a revision's pod are for, as `kubectl explain` shows it, by struct and field of core/v1. Those that people set most; of the others the type says what there is to say, and
 * `kubectl explain pod.spec` has the rest.
 */

export const podWords: Readonly<Record<string, string>> = {
  "PodSpec.containers":
    "The container that answers, and helpers beside it. One of them has a port, and requests go there.",
  "PodSpec.serviceAccountName": "The account that the pods have in the cluster. Default: default.",
  "PodSpec.imagePullSecrets": "Secrets with credentials for the registries of the images.",
  "PodSpec.volumes": "Secrets, ConfigMaps and projections that containers may mount; others need a feature.",
  "PodSpec.enableServiceLinks": "Whether each Service of the namespace becomes environment variables. Default: false.",
  "PodSpec.runtimeClassName":
    "Where the pods run: isolate for JavaScript in an isolate of its own. Absent: in containers.",
  "PodSpec.nodeSelector": "Labels that a node must have.",
  "PodSpec.affinity": "Which nodes and which other pods it is to be near, or far from.",
  "PodSpec.tolerations": "Taints of nodes that it does not mind.",
  "PodSpec.initContainers": "Containers that run to their end, one after another, before the others start.",
  "Container.name": "Filled in where there is one container only.",
  "Container.image": "The image. Its tag is resolved to a digest once, when the revision is made.",
  "Container.command": "What is run instead of the image's entrypoint.",
  "Container.args": "Arguments, instead of the image's.",
  "Container.workingDir": "The folder that it starts in, instead of the image's.",
  "Container.env": "Environment variables. PORT, K_SERVICE, K_CONFIGURATION and K_REVISION are set already.",
  "Container.envFrom": "ConfigMaps and Secrets all of whose keys become environment variables.",
  "Container.ports": "Where it listens for requests: one port, 8080 unless it is named. Its name h2c asks for HTTP/2.",
  "Container.resources": "CPU and memory of one instance.",
  "Container.volumeMounts": "Where the pod's volumes are, in this container.",
  "Container.readinessProbe": "Whether requests may come. Default: the port takes connections.",
  "Container.livenessProbe": "Whether it still works; where it does not it is started anew.",
  "Container.startupProbe": "Whether it has started; until then the other probes wait.",
  "Container.imagePullPolicy": "When the image is asked for at its registry: Always, IfNotPresent or Never.",
  "Container.securityContext": "User, capabilities and other rights of its processes.",
  "ContainerPort.containerPort": "The port's number. Default: 8080.",
  "ContainerPort.name": "http1 (the default) or h2c, the protocol that it speaks.",
  "EnvVar.name": "Name of the variable.",
  "EnvVar.value": "Its value, in which $(OTHER) stands for another variable.",
  "EnvVar.valueFrom": "Where its value comes from, instead.",
  "ResourceRequirements.limits": "The most that it may use: cpu: 500m, memory: 128Mi.",
  "ResourceRequirements.requests": "What is kept for it.",
};
