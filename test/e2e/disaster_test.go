package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The tests of this file are not parallel: what they break is everybody's.

// The operator is killed in the middle of an edit, wherever that is.
func TestOperatorKilledDuringAnEdit(t *testing.T) {
	s := begin(t, "killed")
	s.publish("testing", "mx1")
	id := s.inForce()
	s.poll()

	s.publish("enforce", "mx1")
	s.eventually(short, "the edit being recorded", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		if err == nil && p.Spec.Current.ID == id {
			err = errNotYet
		}
		return err
	})
	s.run("", "-n", operatorNamespace, "delete", "pods", "--all", "--force", "--grace-period=0")
	s.say("killed all operators")
	s.inForce()
	s.enforced("mx1")
	s.send("after").delivered("mx1", verified)
	s.consistent()
}

// Without an API server nothing can be changed, but senders are served as before.
func TestAPIServerDownForAMinute(t *testing.T) {
	s := begin(t, "outage")
	s.publish("enforce", "mx1")
	id := s.inForce()
	s.poll()

	s.node("stop/kube-apiserver")
	down := time.Now()
	<-time.After(time.Minute) // the outage itself: nothing can be asked meanwhile
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
	s.consistent()
}

// internet matches the pods that play the Internet.
const internet = "^(pebble|dns|sender)-"

// Every container of the node dies; what was in force is in force afterwards, and mail flows.
func TestNodeRestart(t *testing.T) {
	s := begin(t, "reboot")
	s.publish("enforce", "mx1")
	id := s.inForce()
	restarted := time.Now()

	// What plays the Internet is not on our node; Pebble would forget its accounts.
	s.node("restart?spare=" + url.QueryEscape(internet))
	s.eventually(long, "every pod being ready again", s.recovered(restarted))
	s.say("every pod is ready again after %.0f s", time.Since(restarted).Seconds())
	s.certify("mx1", "mx1."+s.domain) // the MX host keeps nothing

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
			if regexp.MustCompile(internet).MatchString(pod.Name) {
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

// node tells the node what to do; other clusters have no such remote control.
func (s *story) node(command string) {
	s.t.Helper()
	control := os.Getenv("MTASTS_NODE")
	if control == "" {
		s.t.Skip("needs a node of its own")
	}
	answer, err := http.Post(control+"/"+command, "", nil)
	s.must(err)
	defer answer.Body.Close()
	if content, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", command, content)
	}
	s.say("node: %s", command)
}
