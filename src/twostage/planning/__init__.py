"""Which jobs there are: what each reads and writes, what is made already. Stands beside the stages."""
