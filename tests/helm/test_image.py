"""tools/image/build, on a small tree in place of the program's."""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.rootfs = self.folder / "rootfs"
        (self.rootfs / "usr/bin").mkdir(parents=True)
        (self.rootfs / "usr/bin/outrigger").write_text("program")
        (self.rootfs / "usr/bin/outrigger").chmod(0o755)
        (self.rootfs / "link").symlink_to("/usr/bin/outrigger")

    def build(self, name="out", *arguments, image="registry.example/outrigger:7"):
        return subprocess.run([SOURCE / "tools/image/build", "--rootfs", self.rootfs, "--output", self.folder / name,
                               *(["--name", image] if image else []), *arguments],
                              capture_output=True, text=True, check=False)

    def config(self, name="out"):
        descriptor, = json.loads((self.folder / name / "layout/index.json").read_text())["manifests"]
        return json.loads(self.blob(json.loads(self.blob(descriptor, name))["config"], name))["config"]

    def blob(self, descriptor, name="out"):
        algorithm, digest = descriptor["digest"].split(":")
        content = (self.folder / name / "layout/blobs" / algorithm / digest).read_bytes()
        self.assertEqual(hashlib.sha256(content).hexdigest(), digest)
        self.assertEqual(len(content), descriptor["size"])
        return content

    def test_the_layout_is_that_of_the_specification(self):
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stderr)
        layout = self.folder / "out/layout"
        self.assertEqual(json.loads((layout / "oci-layout").read_text()), {"imageLayoutVersion": "1.0.0"})
        descriptor, = json.loads((layout / "index.json").read_text())["manifests"]
        self.assertEqual(descriptor["annotations"]["io.containerd.image.name"], "registry.example/outrigger:7")
        manifest = json.loads(self.blob(descriptor))
        config = json.loads(self.blob(manifest["config"]))
        with tarfile.open(fileobj=io.BytesIO(self.blob(manifest["layers"][0])), mode="r:gz") as layer:
            program = layer.getmember("usr/bin/outrigger")
            self.assertEqual((program.uid, program.gid, program.mtime, program.mode), (0, 0, 0, 0o755))
            self.assertEqual(layer.getmember("link").linkname, "/usr/bin/outrigger")
        self.assertEqual(len(config["rootfs"]["diff_ids"]), 1)

    def test_the_dockerfile_says_how_it_runs(self):
        self.build()
        config = self.config()
        self.assertEqual(config["Entrypoint"], ["/usr/bin/outrigger"])
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(set(config["ExposedPorts"]), {"15001/tcp", "15020/tcp"})

    def test_with_grpc_it_runs_the_same_under_a_tag_of_its_own(self):
        for program, name in (("outrigger", "localhost/outrigger:0.1.0"),
                              ("outrigger-grpc", "localhost/outrigger:0.1.0-grpc"), ("mock-ai", "localhost/mock-ai:0.1.0")):
            done = self.build(program, "--program", program, image=None)
            self.assertIn(f"image: {name}: ", done.stdout, done.stderr)
        self.assertEqual(self.config("outrigger-grpc"), self.config("outrigger"))
        self.assertNotEqual(self.config("mock-ai"), self.config("outrigger"))

    def test_the_dockerfile_makes_each_by_the_same_script(self):
        text = (SOURCE / "Dockerfile").read_text()
        made = re.search(r"for image in ([^;]*); do tools/image/rootfs \"\$image\" \"/rootfs/\$image\"", text)[1].split()
        stages = re.findall(r"^FROM scratch AS (\S+)\nCOPY --from=build /rootfs/(\S+) /$", text, re.MULTILINE)
        self.assertEqual(sorted(made), sorted(stage for stage, _ in stages))
        for stage, copied in stages:
            self.assertEqual(stage, copied)
        self.assertEqual(stages[-1][0], "outrigger", "what `docker build .` makes")

    def test_the_same_tree_makes_the_same_bytes(self):
        self.build("one")
        os.utime(self.rootfs / "usr/bin/outrigger", (1, 1))
        self.build("other")
        self.assertEqual(*((self.folder / name / "layout/index.json").read_bytes() for name in ("one", "other")))

    def test_an_image_over_the_limit_is_refused(self):
        done = self.build("out", "--limit", "0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("larger than the limit", done.stderr)


if __name__ == "__main__":
    unittest.main()
