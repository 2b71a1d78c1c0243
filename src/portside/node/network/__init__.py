"""VPCs, interfaces and security groups in the kernel: network namespaces, routed veths, nftables."""
