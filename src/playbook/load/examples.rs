//! Playbooks for tests: the one of the language page, and one that uses every key.

pub(in crate::playbook) const FOLLOW: &str = r#"# yaml-language-server: $schema=../schemas/playbook.schema.json
playbook: follow
version: 1.0.0
summary: Attach one standby to a new upstream in the cheapest safe way.

params:
  node:      { type: node, required: true, help: the standby that is to follow }
  upstream:  { type: node, required: true }
  stop_mode: { type: string, enum: [fast, immediate], default: fast }
  rebuild:   { type: string, enum: [never, ask, auto], default: ask }

timeout: 10m

steps:
  check_lsn:                          # same system, on the upstream's history, not ahead of the fork point
    action: check_lsn
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}" }
    timeout: 10s
    retry: { attempts: 3, delay: 500ms }

  create_slot:
    needs: [check_lsn]
    action: create_slot
    node: "{{ params.upstream }}"
    with: { for: "{{ params.node }}" }

  rewind:                             # stops the server itself; its signature says so
    needs: [check_lsn]
    when: steps.check_lsn.divergence == 'rewindable'
    action: rewind
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}" }

  set_upstream:
    needs: [create_slot, rewind]
    action: set_upstream
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}", slot: "{{ steps.create_slot.slot }}" }

  stop:                               # only where a reload does not do (PostgreSQL 12, KingbaseES V8R6)
    needs: [set_upstream]
    when: steps.set_upstream.restart_required
    action: stop
    node: "{{ params.node }}"
    with: { mode: "{{ params.stop_mode }}", escalate: [immediate, kill] }
    timeout: 90s

  start:
    needs: [stop]
    when: steps.set_upstream.restart_required
    action: start
    node: "{{ params.node }}"
    timeout: 90s
    retry: { attempts: 3, delay: 2s, factor: 2 }

  verify_attach:
    needs: [start]
    action: verify_attach
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}" }
    timeout: 60s

outputs:
  lag: steps.verify_attach.lag
"#;

pub(in crate::playbook) const EVERYTHING: &str = r#"
playbook: everything
version: 0.12.3
params:
  grace: { type: duration, default: 1m30s }
  loss: { type: bytes, default: 16MiB, enum: [0B, 16MiB], sealed: true }
  from: { type: lsn, default: 0/16B3748 }
  count: { type: integer, default: 3 }
  force: { type: boolean, default: false }
  nodes: { type: list, default: [a, "{{ site.vars.b }}"] }
  extra: { type: map }
  vip: { type: string, default: "{{ site.vars.vip }}" }
  token: { type: secret, default: "file:/etc/token" }
defaults:
  timeout: 30s
  retry: { within: 5m, delay: 100ms, factor: 1.5, max_delay: 10s, jitter: full, if: error.kind == 'timeout' }
  max_parallel: 4
steps:
  follow:
    for_each:
      items: cluster.standbys.filter(n, n != params.vip)
      key: item
      max_parallel: 2
      max_failures: 50%
    playbook: follow
    with: { node: "{{ item }}" }
    on_failure: degrade
    timeout: 5m
  short:
    needs: follow
    for_each: [a, b]
    when: true
    action: start
    node: "{{ item }}"
    until: result.role == 'standby'
    sealed: true
  vip:
    needs: [follow, short]
    action: exec
    with: { argv: [vip, take, "{{ params.vip }}"], env: { A: "1" } }
    probe: { argv: [vip, have] }
    undo: { argv: [vip, drop] }
    assume: { stdout: "" }
    effect: idempotent
    rescue:
      timeout: 20s
      steps:
        tell: { action: notify, with: { text: "{{ error.message }}" } }
      outputs:
        stdout: "''"
rescue:
  tell: { action: notify, with: { text: failed }, rescue: { again: { action: notify } } }
finally:
  timeout: 1m
  steps:
    tell: { action: notify, with: { text: over } }
outputs:
  three: 3
"#;
