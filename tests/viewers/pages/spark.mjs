import * as THREE from 'three';
import { SparkRenderer, SplatMesh } from '@sparkjsdev/spark';
import { TURNS, camera, renderer, shown } from './three.mjs';

export async function run(job) {
    const gl = renderer(job);
    const scene = new THREE.Scene();
    const spark = new SparkRenderer({ renderer: gl, ...job.options });
    const splats = new SplatMesh({ url: job.url });
    splats.quaternion.fromArray(TURNS[job.axes]);
    scene.add(spark, splats);
    await splats.initialized;
    for (const [i, look] of job.cameras.entries()) {
        const seen = camera(look, job);
        await spark.update({ scene, camera: seen });
        while (spark.sorting || spark.sortDirty) await shown();
        gl.render(scene, seen);
        await shown();
        await shoot(job.pictures[i]);
    }
}
