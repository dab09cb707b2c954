# The ways into Kulti. `make` alone lists them. Works with make 3.81.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak stack dist

# A Docker engine runs Kafka and PostgreSQL where one answers, else dev/stack runs them as processes.
KULTI_STACK_ENGINE ?= auto
export KULTI_STACK_ENGINE

help:
	@echo "make demo    build all, start Kafka and PostgreSQL, serve, stream example sessions, print the page"
	@echo "make test    the whole suite on real servers; T=schemas, session, e2e, sdk, openclaw, … runs one part"
	@echo "make check   formatting, lints, docs, file sizes, compose and workflow files, scripts"
	@echo "make bench   side-by-side measurements"
	@echo "make soak    the tests that run longer than a minute"
	@echo "make stack   Kafka and PostgreSQL alone; stop them with dev/stack down"
	@echo "make dist    the release binary for this system, under dist/"

demo:
	@dev/demo

test:
	@dev/test "$(T)"

check:
	@dev/check

bench:
	@dev/bench $(B)

soak:
	@dev/soak "$(T)"

stack:
	@dev/setup servers && dev/stack up && echo && dev/stack env

dist:
	@dev/dist
