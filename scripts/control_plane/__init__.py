"""A real Kubernetes control plane on loopback, on which the charts are tested: built once, without a container engine.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the upstream programs; kwok stands in for the
nodes, so that pods become ready without a process behind them.
"""
