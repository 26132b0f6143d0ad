#!/bin/bash
# Tells Ray that this node is about to be taken away: a training saves at once, and nothing new starts here.
#   spot_notice.sh now SECONDS   announces it and waits; the preStop hook of a pod that may be gone after so many seconds
#   spot_notice.sh aws | gcp     waits for the cloud's notice and announces it; runs beside Ray on a spot machine
set -u
aws_metadata="${AWS_METADATA:-http://169.254.169.254}"
gcp_metadata="${GCP_METADATA:-http://metadata.google.internal}"

announce() { # why, seconds left; not waited for where the head is gone too
  timeout 30 ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "$1" --deadline-remaining-seconds "$2"
}

aws_notice() { # there from two minutes before an interruption on
  local token
  token="$(curl -sf -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$aws_metadata/latest/api/token")" &&
    curl -sf -m 5 -o /dev/null -H "X-aws-ec2-metadata-token: $token" "$aws_metadata/latest/meta-data/spot/instance-action"
}

gcp_notice() { # TRUE from thirty seconds before a pre-emption on
  test "$(curl -sf -m 5 -H "Metadata-Flavor: Google" "$gcp_metadata/computeMetadata/v1/instance/preempted")" = TRUE
}

case "${1:-}" in
  now) announce "the pod is being deleted" "$2" && sleep "$2" ;; # Ray ends, and the pod with it, once nothing runs here
  aws) until aws_notice; do sleep 5; done; announce "spot interruption" 110 ;;
  gcp) until gcp_notice; do sleep 2; done; announce "spot pre-emption" 25 ;;
  *) sed -n 2,4p "$0" >&2; exit 2 ;;
esac
