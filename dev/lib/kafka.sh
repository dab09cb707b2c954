# shellcheck shell=bash disable=SC2034  # sourced by dev/stack, which uses what is set here
# One Kafka broker and controller in one process (KRaft), made for development: a small heap, no
# replication, topics never made by accident.

KAFKA_CLUSTER=S3VsdGlEZXZTdGFja09uZQ

# kafka_java LOGLEVEL CLASS ARGUMENTS...: sets COMMAND.
kafka_java() {
  local level=$1
  shift
  # shellcheck disable=SC2206  # several options in one variable
  COMMAND=(java ${KULTI_STACK_KAFKA_JVM:--Xmx384m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -Djava.awt.headless=true "-Dkulti.kafka.log.level=$level"
    "-Dlog4j2.configurationFile=$ROOT/dev/config/log4j2.properties"
    -cp "$STACK/programs/kafka/*" "$@")
}

kafka_configure() {
  local broker controller
  broker=$(port_of kafka) controller=$(port_of kafka-controller)
  cat >"$STACK/kafka.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$STACK/kafka
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Nothing is thrown away by age: the log is the truth. A deleted topic's files go at once.
log.retention.ms=-1
log.segment.delete.delay.ms=1000
# A broker that was killed comes back only when its old registration has run out (9 s by default).
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
EOF
}

kafka_running() { process_alive "$STACK/run/kafka"; }

# Started, and then ready or dead: a second stack on the same port dies here, and the caller takes the next port.
kafka_launch() {
  local tenths=600
  kafka_configure
  if [ ! -e "$STACK/kafka/meta.properties" ]; then
    kafka_java WARN kafka.tools.StorageTool format -t "$KAFKA_CLUSTER" -c "$STACK/kafka.properties"
    mkdir -p "$STACK/kafka"
    "${COMMAND[@]}" >"$STACK/logs/kafka-format.log" 2>&1 || die "formatting Kafka's storage failed: $STACK/logs/kafka-format.log"
  fi
  kafka_java INFO kafka.Kafka "$STACK/kafka.properties"
  launch "$STACK/logs/kafka.log" "${COMMAND[@]}"
  process_record "$LAUNCHED" "$STACK/run/kafka"
  while ! grep -q 'Kafka Server started' "$STACK/logs/kafka.log"; do
    kafka_running >/dev/null || return 1
    [ "$tenths" -gt 0 ] || die "Kafka is not ready after a minute: $STACK/logs/kafka.log"
    tenths=$((tenths - 1))
    sleep 0.1
  done
}

kafka_start() {
  local tries=5
  kafka_running >/dev/null && return 0
  rm -f "$STACK/run/kafka"
  while :; do
    port_choose kafka 19092
    port_choose kafka-controller 29092
    kafka_launch && return 0
    rm -f "$STACK/run/kafka"
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || ! grep -q 'Address already in use' "$STACK/logs/kafka.log"; then
      tail -n 20 "$STACK/logs/kafka.log" >&2
      die "Kafka did not start (see above, and $STACK/logs/kafka.log)"
    fi
  done
}

kafka_stop() { process_stop "$STACK/run/kafka" TERM 20; }
kafka_kill() { process_stop "$STACK/run/kafka" KILL 5; }
