# Three networks in a row: a pod's, its machine's, which routes, and the metadata service's. Run in
# namespaces of its own; all of it is gone with them.
#
#   hops.sh ROOT HOPS PYTHON [NAME DIR]: the image's root file system, and how many hops an answer may
#   make. With a name it is announced that the machine goes, and a webhook is told by that name, whose
#   certificate and key are in DIR.
set -euo pipefail
root=$1 hops=$2 python=$3 receiver=${4:-} dir=${5:-}
here="$(cd "$(dirname "$0")" && pwd)"

# Named networks are files in here.
mount -t tmpfs tmpfs /run
for name in pod service; do
    ip netns add "$name"
    ip link add "to-$name" type veth peer name eth0 netns "$name"
    ip link set "to-$name" up
done
in_network() { nsenter --net="/run/netns/$1" -- "${@:2}"; }

ip address add 10.1.0.1/24 dev to-pod
ip address add 169.254.169.1/24 dev to-service
echo 1 > /proc/sys/net/ipv4/ip_forward
for name in pod service; do
    in_network "$name" ip link set lo up
    in_network "$name" ip link set eth0 up
done
in_network pod ip address add 10.1.0.2/24 dev eth0
in_network pod ip route add default via 10.1.0.1
in_network service ip address add 169.254.169.254/24 dev eth0
in_network service ip route add default via 169.254.169.1

# As with EC2's, a connection is made; what it answers is what goes no further.
exec 3< <(in_network service "$python" "$here/metadata.py" "$hops" "$receiver")
read -r -u 3 _
more=()
if [ "$receiver" ]; then
    in_network service ip address add 169.254.169.253/24 dev eth0
    exec 4< <(in_network service "$python" "$here/names.py" "$receiver" 169.254.169.253 "$dir")
    read -r -u 4 _
    more=(--webhook-url-file /etc/webhook/secret/url)
fi
in_network pod chroot "$root" /spot-interrupt-handler run --node-name spot-1 \
    --kubeconfig /kubeconfig --log-format json --self-check-interval off --kubernetes-events false \
    "${more[@]}"
