package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the tests of this file break is everybody's: they take turns, while the domains of the slow stories
// are about to retire, or wait for a record. Those must come out right all the same.

// Without an API server nothing can be changed, but senders are served and mail is delivered as before.
func TestAPIServerDownForAMinute(t *testing.T) {
	t.Parallel()
	needsNode(t)
	s := begin(t, "outage")
	s.publish("enforce", "mx1")
	id := s.inForce()
	s.enforced("mx1")
	s.poll()
	s.alone(func() { s.outage(id) })
	s.consistent()
}

func (s *story) outage(id string) {
	s.t.Helper()
	t := s.t
	s.serverImage("mta-sts-operator:e2e") // an upgrade may just have been rolled back
	s.sendMeanwhile(20, 4)
	s.node("kill/kube-apiserver") // told to end, it would take itself out of its own service, for kube-proxy to find out late
	down := time.Now()
	<-time.After(time.Minute) // the outage itself: nothing can be asked meanwhile
	up := time.Now()
	s.node("start/kube-apiserver")
	s.eventually(short, "the API server coming back", func(ctx context.Context) error {
		_, err := s.policy(ctx)
		return err
	})
	s.say("the API server is back after %.0f s", time.Since(down).Seconds())

	looks := 0
	for _, p := range s.consistent().Pairs {
		if p.Last.After(down.Add(time.Minute)) && p.First.Before(down) {
			looks = p.Count
		}
	}
	if looks < 100 {
		t.Errorf("no row of looks spans the outage")
	}
	watch := s.watch(id)
	s.publish("testing", "mx1")
	watch.print("the first edit after the outage")
	s.inForce()
	s.deliveredMeanwhile(down, up)
}

// sendMeanwhile makes the sender hand n messages to Postfix on its own, some seconds apart.
func (s *story) sendMeanwhile(n, seconds int) {
	s.t.Helper()
	script := fmt.Sprintf(`(i=0; while [ $i -lt %d ]; do i=$((i+1)); printf 'From: alice@sender.test\nSubject: meanwhile %%s\n\nHello.\n' $i |
		sendmail -f alice@sender.test bob@%s; sleep %d; done) </dev/null >/dev/null 2>&1 &`, n, s.domain, seconds)
	s.run("", "-n", home, "exec", "deployment/sender", "-c", "postfix", "--", "sh", "-c", script)
}

// deliveredMeanwhile expects that messages arrived all the time, over verified connections only.
func (s *story) deliveredMeanwhile(from, to time.Time) {
	s.t.Helper()
	var accepted []struct {
		Data, TLS string
		At        time.Time
	}
	content, err := s.get(s.ctx, s.namespace, "pods", "mx1:8080", "mail")
	s.must(err)
	s.must(json.Unmarshal(content, &accepted))
	n := 0
	for _, m := range accepted {
		if strings.Contains(m.Data, "Subject: meanwhile") && m.At.After(from) && m.At.Before(to) && m.TLS != "" {
			n++
		}
	}
	if n < 5 {
		s.t.Errorf("only %d messages arrived between %s and %s", n, from.Format(time.TimeOnly), to.Format(time.TimeOnly))
	}
	log, err := s.postfix(s.ctx)
	s.must(err)
	sent := ""
	for line := range strings.Lines(log) {
		if strings.Contains(line, "bob@"+s.domain) && strings.Contains(line, "status=") {
			if !strings.Contains(line, "status=sent") {
				s.t.Errorf("postfix: %s", line)
			}
			if line > from.UTC().Format(time.Stamp) && line < to.UTC().Format(time.Stamp) {
				sent = line
			}
		}
		if strings.Contains(line, "TLS connection established to mx1."+s.domain) && !strings.Contains(line, verified) {
			s.t.Errorf("postfix: %s", line)
		}
	}
	s.say("%d messages arrived during the outage, all over verified connections", n)
	s.say("postfix, the last of them: %s", strings.TrimSpace(sent))
}

// internet matches the pods that play the Internet.
const internet = "^(pebble|dns|sender)-|^(mx[0-9]|poller)$"

// lastHost is how much later than the first host of a router that has just started the last may be known: until
// then it answers 404 for that one.
const lastHost = 10 * time.Second

// Every container of the node dies; what was in force is in force afterwards, and mail flows.
func TestNodeRestart(t *testing.T) {
	t.Parallel()
	needsNode(t)
	s := begin(t, "reboot")
	s.publish("enforce", "mx1")
	id := s.inForce()
	s.alone(func() {
		restarted := time.Now()
		// What plays the Internet is not on our node: senders go on, and Pebble would forget its accounts.
		s.node("restart?spare=" + url.QueryEscape(internet))
		s.eventually(long, "every pod being ready again", s.recovered(restarted))
		s.say("every pod is ready again after %.0f s", time.Since(restarted).Seconds())
		s.eventually(long, "the policy being served again", func(ctx context.Context) error {
			served, err := s.query(ctx)
			if err == nil && !strings.Contains(served, id) {
				err = errors.New(served)
			}
			return err
		})
		s.rebooted(restarted, time.Now().Add(lastHost))
	})

	s.enforced("mx1")
	s.send("after").delivered("mx1", verified)
	if after := s.inForce(); after != id {
		t.Errorf("id %s became %s", id, after)
	}
	s.publish("testing", "mx1")
	s.inForce()
}

// recovered says whether every running pod's containers were started after a time and are ready.
func (s *story) recovered(after time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		var pods corev1.PodList
		if err := s.List(ctx, &pods); err != nil {
			return err
		}
		var errs []error
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil || regexp.MustCompile(internet).MatchString(pod.Name) {
				continue
			}
			for _, c := range pod.Status.ContainerStatuses {
				if c.State.Terminated != nil && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
					continue
				}
				if !c.Ready || c.State.Running == nil || c.State.Running.StartedAt.Time.Before(after.Add(-time.Second)) {
					errs = append(errs, fmt.Errorf("%s/%s: %s", pod.Namespace, client.ObjectKeyFromObject(&pod).Name, c.Name))
				}
			}
		}
		return errors.Join(errs...)
	}
}

// needsNode skips a story where there is no remote control of the cluster's processes.
func needsNode(t *testing.T) {
	t.Helper()
	if os.Getenv("MTASTS_NODE") == "" {
		t.Skip("needs a node of its own")
	}
}

// node tells the node what to do.
func (s *story) node(command string) {
	s.t.Helper()
	answer, err := http.Post(os.Getenv("MTASTS_NODE")+"/"+command, "", nil)
	s.must(err)
	defer answer.Body.Close()
	if content, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", command, content)
	}
	s.say("node: %s", command)
}
